"""What people have (folders, tables, web archives, TFDS, scenes), as one stream of samples."""

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from xsample_tf.data import image_files
from xsample_tf.data.feature_columns import FeatureColumn, names_of
from xsample_tf.data.records import FeatureNames
from xsample_tf.errors import InputError
from xsample_tf.registry import Registry

UNKNOWN_CLASS = -1

SOURCES = Registry("source", "xsample_tf.data.sources")
register = SOURCES.register


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One image of a source: `source.read(image)` gives its file's bytes.

    `label` is None where the source has none, outside 0..C-1 where it names an unknown class.
    Text that is not UTF-8 arrives as Python reads file names: with surrogate escapes.
    `fault` is the reason why the source has no image or captions for it. `numbers` are the values
    of feature columns by name, as the source has them.
    """

    key: str
    image: object
    captions: tuple[str, ...] = ()
    label: int | None = None
    fault: str = ""
    numbers: Mapping[str, object] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes of a source: what the source calls them, and their names for captions."""

    keys: tuple[str, ...]
    names: tuple[str, ...]

    def label(self, key: str) -> int:
        """Returns the index of the class that the source calls `key`, or `UNKNOWN_CLASS`."""
        return self._indices.get(key, UNKNOWN_CLASS)

    def __post_init__(self):
        indices = {key: i for i, key in enumerate(self.keys)}
        if len(indices) < len(self.keys):
            twice = next(key for i, key in enumerate(self.keys) if indices[key] != i)
            raise InputError(f"class_names: {twice!r} stands in the list more than once")
        object.__setattr__(self, "_indices", indices)


@dataclasses.dataclass(frozen=True)
class Options:
    """How to read a source; what a kind of source does not need is ignored.

    Attributes:
        image_column: Column (TFDS: feature) of the image; None looks for the usual names.
        caption_columns: Columns of captions, each a text or a list of texts; empty as above.
        label_column: Column of the class, a number or a name; None as above.
        key_column: Column that names the image; None takes its path or its row.
        split_column: Column of the split of each row; None takes "split" where it has such values.
        validation_split: Split that validates, such as "test"; None takes "val" where there is one.
        feature_columns: Columns of numbers that records keep, each NAME or NAME:float.
        image_root: What relative paths of a table are relative to; None is the table's folder.
        class_names: The classes in the order of their labels, each "KEY" or "KEY<TAB>NAME" where
            KEY is what the source has (n01440764) and NAME what a caption should say (tench).
        tfds_dir: Where TFDS keeps its data; None is the default of TFDS.
        validation_fraction: Share of the scenes' count that is generated for validation.
        seed: Orders the samples of sources that can be listed before they are read.
        own: Values of the options that a kind of source declares for itself, by name, such as
            {"delimiter": ";"} of table.
    """

    image_column: str | None = None
    caption_columns: tuple[str, ...] = ()
    label_column: str | None = None
    key_column: str | None = None
    split_column: str | None = None
    validation_split: str | None = None
    feature_columns: tuple[str, ...] = ()
    image_root: str | None = None
    class_names: tuple[str, ...] = ()
    tfds_dir: str | None = None
    validation_fraction: float = 0.05
    seed: int = 0
    own: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if "label" in names_of(self.feature_columns) and self.label_column != "none":
            raise InputError(
                "feature_columns: 'label' is the class; keep it as numbers with "
                "--label_column=none, or name another column"
            )

    def classes(self) -> Classes | None:
        """Returns the classes that `class_names` lists, or None."""
        if not self.class_names:
            return None
        pairs = [line.partition("\t") for line in self.class_names]
        return Classes(
            tuple(key.strip() for key, _, _ in pairs),
            tuple((name or key).strip() for key, _, name in pairs),
        )


class Source(Protocol):
    """A source of samples.

    Attributes:
        classes: The classes, or None where labels have no names.
        captioned: Whether samples come with captions of their own.
        counts: Number of samples by split: "train" and "val" as the source has them, or "all".
        rejected: What was left out while listing, by reason.
        columns: The feature columns, decided on the first samples.
        fingerprint: Differs when the samples differ, their order apart.
        default_resize: Shorter side that larger images get unless told otherwise; 0 keeps them.
        shuffled: Whether the order of the samples is a random one already.
    """

    classes: Classes | None
    captioned: bool
    counts: dict[str, int]
    rejected: collections.Counter
    columns: tuple[FeatureColumn, ...]
    fingerprint: str
    default_resize: int
    shuffled: bool

    def understanding(self) -> list[str]:
        """Returns what the source was taken for and why, in lines such as "image: column 'file'".

        Raises:
            InputError: None of the first images is where the source says.
        """

    def preview(self, count: int) -> tuple[list[Sample], Classes | None]:
        """Returns the first samples, and the classes as far as they are known by then.

        Only the beginning of the source is read.
        """

    def samples(self, split: str, start: int, stop: int) -> Iterator[Sample]:
        """Yields the samples at positions [start, stop) of `split`, always the same ones."""

    def read(self, image: object) -> bytes:
        """Returns an image file's bytes; called from many threads.

        Raises:
            images.ImageError: with the reason.
        """


@dataclasses.dataclass(frozen=True)
class TFRecordFiles:
    """TFRecord files of a source, for use where they lie: what its method `stored` returns.

    Attributes:
        files: Path and number of records of each file by split; "all" is yet to be split.
        features: What the records call their parts.
    """

    files: dict[str, tuple[tuple[str, int], ...]]
    features: FeatureNames


def only_column(columns: Sequence[str]) -> str | None:
    """Returns the only one of the caption columns, if any; `InputError` where there are several."""
    if len(columns) > 1:
        raise InputError(
            f"caption_column: expected one for records that are used where they lie, received "
            f"{', '.join(columns)}; leave --in_place out"
        )
    return columns[0] if columns else None


class FileList:
    """A `Source` whose samples are listed, in order, and whose images are files."""

    default_resize = 0
    shuffled = True
    columns: tuple[FeatureColumn, ...] = ()

    def __init__(
        self,
        splits: dict[str, list[Sample]],
        classes: Classes | None,
        captioned: bool,
        rejected: collections.Counter | None = None,
    ):
        self.classes = classes
        self.captioned = captioned
        self.rejected = rejected or collections.Counter()
        self.counts = {split: len(samples) for split, samples in splits.items()}
        self._splits = splits
        self.fingerprint = fingerprint_of(splits, classes)

    def understanding(self) -> list[str]:
        """See `Source`; a source of your own says more."""
        return [f"{split}: {count:,} images" for split, count in self.counts.items()]

    def preview(self, count: int) -> tuple[list[Sample], Classes | None]:
        """See `Source`."""
        first = next(iter(self._splits.values()), [])
        return first[:count], self.classes

    def samples(self, split: str, start: int, stop: int) -> Iterator[Sample]:
        """See `Source`."""
        return iter(self._splits[split][start:stop])

    def read(self, image: str) -> bytes:
        """See `Source`."""
        return read_file(image)


def fingerprint_of(splits: dict[str, list[Sample]], classes: Classes | None) -> str:
    """Returns a hash of the samples of each split that does not depend on their order."""
    digest = hashlib.sha256(repr(classes and classes.names).encode())
    for split, samples in splits.items():
        digest.update(split.encode())
        for sample in sorted(samples, key=lambda sample: sample.key):
            digest.update(repr((sample.key, sample.captions, sample.label)).encode())
    return digest.hexdigest()[:16]


def read_file(path: str) -> bytes:
    """Returns the bytes of a file; an `images.ImageError` says why there are none."""
    try:
        return pathlib.Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise image_files.ImageError("missing_file") from error
    except PermissionError as error:
        raise image_files.ImageError("permission_denied") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path.
        raise image_files.ImageError("unreadable_file") from error


def permuted(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Returns the samples in an order of `seed`: sources sorted by class would train badly."""
    return [samples[i] for i in np.random.default_rng(seed).permutation(len(samples))]


def clean_key(text: str) -> str:
    """Returns a key that is valid UTF-8 whatever bytes the file's name has."""
    return text.encode("utf-8", "backslashreplace").decode()


FETCH = "fetch_"  # What the reasons of images begin with that were never fetched.
