"""Adds new images to a data directory that is prepared already.

The new images are prepared in a folder of their own inside the directory, then their shards get
the next numbers, and `dataset.json` is written last: an append that was killed goes on, and until
it is finished the directory is what it was.
"""

import collections
import dataclasses
import hashlib
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from tqdm import tqdm

from xsample_tf.data import manifest, records, sources
from xsample_tf.data.feature_columns import names_of
from xsample_tf.data.preparation import convert, understanding
from xsample_tf.data.preparation.caption_vectors import EmbeddingJob, check_names, template_of
from xsample_tf.data.preparation.filters import Quality
from xsample_tf.data.preparation.image_shards import ImageShards
from xsample_tf.data.preparation.journal import JOURNAL, whole_lines
from xsample_tf.data.preparation.shard_writer import as_input_errors, local
from xsample_tf.data.shards import Shard, read_records
from xsample_tf.data.text_encoder import TextEncoder
from xsample_tf.errors import InputError, listing
from xsample_tf.files import write_atomic

_FOLDER = "appending"  # Inside the data directory, while new images are added.
_BEFORE = "before.json"  # What `dataset.json` was.


@as_input_errors()
def append(
    source: str,
    output: str | os.PathLike,
    encoders: Sequence[TextEncoder] = (),
    *,
    options: sources.Options | None = None,
    max_rejected_fraction: float = 0.5,
    threads: int | None = None,
    dry_run: bool = False,
    log: Callable[[str], None] = print,
) -> manifest.Dataset | None:
    """Adds the images of `source` whose keys a data directory does not have.

    Rules, template, size of shards, share for validation and seed are those of the first
    preparation. New classes get the next ids. Other records keep their shards, so that training
    goes on reading them as before; a run that began on the smaller directory names the change.

    Args:
        source: KIND:WHERE, see `sources.open_source`.
        output: A data directory that `prepare` wrote.
        encoders: Text encoders, one for each that the directory has vectors of.
        options: Columns; the share for validation and the seed are not looked at, and feature
            columns are those of the directory.
        max_rejected_fraction: Share of unusable images above which nothing is added.
        threads: Decoding threads. Defaults to one per core.
        dry_run: Logs how the source is understood, with its first records, and returns None.
        log: Receives what was understood, and the table of what was added and left out.

    Returns:
        The data directory as it is then.

    Raises:
        InputError: Not a data directory of ours, encoders that do not fit, or as `prepare`.

    Example:
        >>> append("table:more.csv", "data/photos", [text.load_encoder("lexical")])
    """
    output = local(output)
    place = output / _FOLDER
    dataset = _before(output, place)
    _check_encoders(dataset, encoders)
    job = _job(source, place, dataset, options or sources.Options(), max_rejected_fraction, threads)
    understanding.show(job.source, job.builder, log)
    if dry_run:
        return None
    place.mkdir(exist_ok=True)
    if not (place / _BEFORE).is_file():
        write_atomic(place / _BEFORE, (output / manifest.MANIFEST).read_bytes())
    job = dataclasses.replace(job, source=_New(job.source, _keys(dataset)))
    job.write(log)
    added = manifest.read_manifest(place)
    larger = _publish(dataset, added, output, place)
    template = template_of(dataset, None)
    for encoder in encoders:
        larger = EmbeddingJob(larger, encoder, overwrite=False).run(template, log)
        log(f"{'caption vectors':<24}{encoder.name}, {encoder.size} values each")
    manifest.write_dataset(larger)
    shutil.rmtree(place)
    for split in larger.splits:
        before = dataset.records(split) if split in dataset.splits else 0
        log(f"{split:<24}{larger.records(split):>12,} records, {before:,} before")
    return larger


def _before(output: pathlib.Path, place: pathlib.Path) -> manifest.Dataset:
    """The data set as it was when the append began."""
    if not (output / manifest.MANIFEST).is_file():
        raise InputError(
            f"append: expected a data directory that is prepared, received {output} without "
            f"{manifest.MANIFEST}; prepare it first, without --append"
        )
    if (place / _BEFORE).is_file():
        write_atomic(output / manifest.MANIFEST, (place / _BEFORE).read_bytes())
    dataset = manifest.read_dataset(output)
    if dataset.image_encoders:
        raise InputError(
            f"append: expected a data directory without image vectors, received {output} with "
            f"those of {', '.join(dataset.image_encoders)}, which the new images would lack; "
            "prepare the larger data in another directory"
        )
    if dataset.features != records.DEFAULT_FEATURES:
        raise InputError(
            f"append: expected records of our own, received files used where they lie in {output}"
        )
    return dataset


def _check_encoders(dataset: manifest.Dataset, encoders: Sequence[TextEncoder]) -> None:
    check_names(encoders)
    names = {encoder.name for encoder in encoders}
    if names != dataset.encoders.keys():
        raise InputError(
            f"append: expected the text encoders of {dataset.directory}, "
            f"{listing(sorted(dataset.encoders)) or 'none'}, received "
            f"{listing(sorted(names)) or 'none'}"
        )


def _job(
    source: str,
    place: pathlib.Path,
    dataset: manifest.Dataset,
    options: sources.Options,
    max_rejected_fraction: float,
    threads: int | None,
) -> ImageShards:
    """The preparation of the new images, by the rules of the first one."""
    first = whole_lines(pathlib.Path(dataset.directory, JOURNAL))[0]
    changed = dict(first["quality"] or {})
    if "caption_rules" in changed:
        changed["caption_rules"] = tuple(changed["caption_rules"])
    quality = Quality(**changed | {"resize": first["resize"] or 0})
    names = [f"{c.name}:float" if c.dtype == "float32" else c.name for c in dataset.columns]
    if (
        options.feature_columns
        and names_of(options.feature_columns).keys() != names_of(names).keys()
    ):
        raise InputError(
            f"feature_columns: expected those of {dataset.directory}, {listing(names) or 'none'}, "
            f"which are kept without the flag, received {listing(options.feature_columns)}; "
            "prepare again for others"
        )
    options = dataclasses.replace(options, seed=first["seed"], feature_columns=tuple(names))
    opened = sources.open_source(source, options)
    classes = _classes(dataset, opened.classes)
    if classes is not None:
        opened = sources.open_source(source, options, classes)
    if opened.captioned != (dataset.captions_per_image > 0 and not first["template"]):
        raise InputError(
            f"append: expected a source {'with' if not opened.captioned else 'without'} captions, "
            f"as {dataset.directory} was made of, received {source}"
        )
    builder = convert.RecordBuilder(
        first["template"] or template_of(dataset, None),
        # Beside a validation source nothing was split, and nothing is now.
        0.0 if first["validation_source"] else first["validation_fraction"],
        quality,
        first.get("feature_default"),
        dataset.columns,
    )
    size = first["records_per_shard"]
    return ImageShards(
        place,
        source,
        opened,
        None,
        builder,
        size,
        max_rejected_fraction,
        first["seed"],
        threads,
        image_column=options.image_column,
    )


def _classes(dataset: manifest.Dataset, found: sources.Classes | None) -> sources.Classes | None:
    """The known classes, and behind them those that the new source has besides."""
    if dataset.class_names is None:
        return None
    keys, names = list(dataset.class_names), list(dataset.class_names)
    for key, name in zip(found.keys, found.names, strict=True) if found else ():
        if name in names:
            keys[names.index(name)] = key
        else:
            keys.append(key)
            names.append(name)
    return sources.Classes(tuple(keys), tuple(names))


def _publish(
    dataset: manifest.Dataset, added: manifest.Dataset, output: pathlib.Path, place: pathlib.Path
) -> manifest.Dataset:
    """Gives the new shards the next numbers, and returns the larger data set without vectors."""
    splits = {split: list(shards) for split, shards in dataset.splits.items()}
    for split, shards in added.splits.items():
        own = splits.setdefault(split, [])
        numbers = [int(pathlib.PurePath(shard.path).stem) for shard in own]
        first = max(numbers, default=-1) + 1
        for number, shard in enumerate(shards, first):
            path = f"{split}/{number:05d}.tfrecord"
            (output / split).mkdir(exist_ok=True)
            if (place / shard.path).is_file():  # Else it was moved before a kill.
                os.replace(place / shard.path, output / path)
            own.append(Shard(path, shard.records, shard.bytes, shard.sha256))
    rejected = collections.Counter(dataset.rejected) + collections.Counter(added.rejected)
    return dataclasses.replace(
        dataset,
        splits={split: tuple(shards) for split, shards in splits.items()},
        class_names=added.class_names,
        captions_per_image=max(dataset.captions_per_image, added.captions_per_image),
        encoders={},
        rejected=dict(rejected),
        source=f"{dataset.source} + {added.source}",
    )


def _keys(dataset: manifest.Dataset) -> np.ndarray:
    """The hashes of all keys of a data directory, sorted: eight bytes an image."""
    shards = [shard for own in dataset.splits.values() for shard in own]
    found = []
    for shard in tqdm(shards, desc="keys", unit=" shards", disable=None):
        rows = [
            _hash(records.key_of(record))
            for record in read_records(pathlib.Path(dataset.directory), shard)
        ]
        found.append(np.array(rows, np.uint64))
    return np.sort(np.concatenate(found))


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


class _New:
    """A source without the images that are there already; these are counted."""

    def __init__(self, source: sources.Source, known: np.ndarray):
        self._source, self._known = source, known

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or name in ("_source", "_known"):
            raise AttributeError(name)
        return getattr(self._source, name)

    def samples(self, split: str, start: int, stop: int) -> Iterator[sources.Sample]:
        """See `sources.Source`."""
        for sample in self._source.samples(split, start, stop):
            digest = np.uint64(_hash(sample.key))
            place = np.searchsorted(self._known, digest)
            if place < len(self._known) and self._known[place] == digest:
                yield sources.Sample(sample.key, None, fault="already_there")
            else:
                yield sample
