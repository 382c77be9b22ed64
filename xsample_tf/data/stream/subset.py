"""Parts of a split to train on: a share of it, so many images per class, or those of a list."""

import dataclasses
import gzip
import re
from collections.abc import Callable, Sequence

import numpy as np

from xsample_tf.data.stream.record_index import RecordIndex, hash_of, name_of
from xsample_tf.errors import InputError

_SHOWN = 3  # Keys that a message names.


@dataclasses.dataclass(frozen=True)
class Subset:
    """The images of a split that count, by one of three rules.

    Subsets of one seed are nested: a smaller fraction, or fewer images per class, are among those
    of a larger one.

    Args:
        fraction: Share of the images: of each shard a run of records that begins at a place drawn
            by the seed, so that no record has to be read to know them. Defaults to 1, all.
        per_class: Images of each class, as far as it has them, drawn by the seed. Needs the keys
            and labels of all records: one pass, which is kept. Defaults to 0, all.
        key_list: File of the images' keys, a line each, or of their file names with or without
            folders and endings; a number behind it is left alone, and `.gz` is read too. Needs the
            keys: the same pass. Defaults to "", all.
        seed: 64 bits. Defaults to 0.

    Raises:
        InputError: Several rules, or a number out of range.

    Example:
        >>> data.steps_per_epoch("data/imagenet", "train", 256, Subset(key_list="1percent.txt"))
        50
    """

    fraction: float = 1.0
    per_class: int = 0
    key_list: str = ""
    seed: int = 0

    def __post_init__(self):
        if not 0 < self.fraction <= 1:
            raise InputError(
                f"train_fraction: expected a share above 0 and at most 1, received {self.fraction}"
            )
        if self.per_class < 0:
            raise InputError(f"per_class: expected 0 or more images, received {self.per_class}")
        if sum((self.fraction < 1, self.per_class > 0, bool(self.key_list))) > 1:
            raise InputError(
                "expected one of train_fraction, per_class and train_list, received several"
            )

    @property
    def needs_index(self) -> bool:
        """Whether keys and labels are needed to know its images."""
        return self.per_class > 0 or bool(self.key_list)


def fraction_runs(counts: Sequence[int], subset: Subset) -> list[tuple[int, int, int]]:
    """Returns the runs of records of a fraction: shard, first record, and records.

    Args:
        counts: Records in each shard.
        subset: With a fraction.
    """
    # Of a frozen stream: later versions of NumPy draw the same.
    random = np.random.RandomState(np.random.PCG64(subset.seed & (2**64 - 1)))
    runs = []
    for shard, count in enumerate(counts):
        start, rounding = random.random_sample(2)
        begin, kept = int(start * count), int(subset.fraction * count + rounding)
        end = begin + kept
        runs += [(shard, begin, min(end, count) - begin), (shard, 0, max(end - count, 0))]
    return [run for run in runs if run[2]]


def chosen_records(index: RecordIndex, subset: Subset, where: str) -> np.ndarray:
    """Returns which records, by their numbers in rising order, int64 `[M]`, are in a subset.

    Args:
        index: Of all records.
        subset: By classes or by a list.
        where: What the records are, for messages.

    Raises:
        InputError: No labels, a list that cannot be read, or keys that are not there.
    """
    if subset.per_class:
        chosen = _first_of_classes(index, subset)
    else:
        chosen = _listed(index, subset.key_list, where)
    if not len(chosen):
        raise InputError(f"expected images of {where} in the subset, received none")
    return chosen


def _first_of_classes(index: RecordIndex, subset: Subset) -> np.ndarray:
    """The first images of each class, in an order that the seed and the keys decide."""
    order = np.lexsort((_scrambled(index.keys, subset.seed), index.labels))
    labels = index.labels[order]
    first = np.searchsorted(labels, labels)  # Where each one's class begins.
    kept = (np.arange(len(order)) - first < subset.per_class) & (labels >= 0)
    return np.sort(order[kept])


def _scrambled(keys: np.ndarray, seed: int) -> np.ndarray:
    """Another uint64 of each key, by the finaliser of SplitMix64."""
    bits = keys ^ np.uint64((seed * 0x9E3779B97F4A7C15) & (2**64 - 1))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits


def _listed(index: RecordIndex, path: str, where: str) -> np.ndarray:
    """The images of a list; a whole key counts before a file name."""
    by_key, by_name = _lookup(index.keys), _lookup(index.names)
    chosen, missing, several = set(), [], []
    for line in _lines(path):
        texts = dict.fromkeys((line.split("\t")[0].strip(), re.sub(r"\s+-?\d+$", "", line)))
        found = next((rows for text in texts if len(rows := by_key(hash_of(text)))), ())
        if not len(found):
            names = (by_name(hash_of(name_of(text))) for text in texts)
            found = next((rows for rows in names if len(rows)), ())
            if len(found) > 1:
                several.append(line)
        if not len(found):
            missing.append(line)
        chosen.update(found)
    for lines, words in ((missing, "has no image"), (several, "has several images")):
        if lines:
            raise InputError(
                f"train_list: {where} {words} for {len(lines):,} of the lines in {path}: "
                f"{', '.join(lines[:_SHOWN])}{', ...' if len(lines) > _SHOWN else ''}; leave them "
                "out, or give the keys as they were prepared"
            )
    return np.array(sorted(chosen), np.int64)


def _lookup(hashes: np.ndarray) -> Callable[[int], np.ndarray]:
    """Returns what finds the numbers of the records with a hash."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]

    def find(wanted: int) -> np.ndarray:
        first, last = (np.searchsorted(ordered, np.uint64(wanted), s) for s in ("left", "right"))
        return order[first:last]

    return find


def _lines(path: str) -> list[str]:
    """Returns the lines of a list that say something."""
    try:
        with open(path, "rb") as file:
            content = file.read()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"train_list: cannot read {path} ({error})") from error
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not lines:
        raise InputError(f"train_list: expected a line for each image, received none in {path}")
    return lines
