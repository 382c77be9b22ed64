"""The base class of sources, the samples that they give, and how users choose among them."""

import abc
import collections
import dataclasses
import hashlib
import pathlib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from xsample_tf.data import image_files
from xsample_tf.data.feature_columns import FeatureColumn, choose_columns, names_of
from xsample_tf.data.records import FeatureNames
from xsample_tf.data.sources.byte_ranges import ByteRange
from xsample_tf.errors import InputError, listing
from xsample_tf.registry import Registry

UNKNOWN_CLASS = -1
FETCH = "fetch_"  # What the reasons of images begin with that were never fetched.
LEFT_OUT_SPLIT = "split_"  # What the reasons of images in splits begin with that are not used.

# The kinds of sources by name: what stands before the colon of `--source`.
SOURCES = Registry("source", "xsample_tf.data.sources")
register = SOURCES.register


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One image of a source: `source.read(image)` gives its file's bytes.

    `label` is None where the source has none, outside 0..C-1 where it names an unknown class.
    Text that is not UTF-8 arrives as Python reads file names: with surrogate escapes.
    `fault` is the reason why the source has no image or captions for it. `numbers` are the values
    of feature columns by name, as the source has them. `str(place)` is where it stands, such as
    "captions.csv:12", for messages; "" where the key says it.
    """

    key: str
    image: object
    captions: tuple[str, ...] = ()
    label: int | None = None
    fault: str = ""
    numbers: Mapping[str, object] = dataclasses.field(default_factory=dict)
    place: object = ""

    @property
    def name(self) -> str:
        """Its key, and where it stands."""
        place = str(self.place)
        return f"{self.key} in {place}" if place else self.key


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
        validation_fraction: Share of the images that validates where the source has no such split;
            None is 0.05, and of 5,000 images or more at least what gives 1,000.
        seed: Orders the samples of sources that can be listed before they are read.
        own: Values of the options that kinds of sources declare for themselves, by name, such as
            {"delimiter": ";"} of table. Defaults to the options' own defaults.
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
    validation_fraction: float | None = None
    seed: int = 0
    own: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

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


@dataclasses.dataclass(frozen=True)
class TFRecordFiles:
    """TFRecord files of a source, which `prepare_in_place` uses where they lie.

    Attributes:
        files: Path and number of records of each file by split; "all" is yet to be split.
        features: What the records call their parts.
    """

    files: dict[str, tuple[tuple[str, int], ...]]
    features: FeatureNames


class Source(abc.ABC):
    """Base class of sources: how many samples there are, and any range of them.

    A source that can list its samples at once is a `SampleList`, or a function that returns one.
    Sources are pickled for the workers of Apache Beam.

    Attributes:
        counts: Number of samples by split: "train" and "val" as the source has them, or "all" for
            samples that are yet to be split. Every source sets it.
        fingerprint: Text that differs when the samples differ, their order apart; a preparation
            cannot go on with another one. Every source sets it.
        classes: The classes, or None where labels have no names. Defaults to None.
        captioned: Whether samples come with captions of their own. Defaults to False.
        columns: The feature columns, decided on the first samples. Defaults to none.
        classes_grow: Whether `preview` may know fewer classes than there are. Defaults to False.
        rejected: Number of images that were left out while listing, by reason. Defaults to none.
        examples: Where one of them stands, by reason. Defaults to none.
        default_resize: Shorter side that larger images get unless told otherwise. Defaults to 0,
            which keeps them.
        shuffled: Whether the order of the samples is a random one already; else records are
            shuffled in a second pass. Defaults to False.
        validation_fraction: Share of the images that the source itself sets apart. Defaults to
            None: it has splits, or is split by a hash.
    """

    counts: dict[str, int]
    fingerprint: str
    classes: Classes | None = None
    captioned: bool = False
    classes_grow: bool = False
    columns: tuple[FeatureColumn, ...] = ()
    rejected: Mapping[str, int] = types.MappingProxyType({})
    examples: Mapping[str, str] = types.MappingProxyType({})
    default_resize: int = 0
    shuffled: bool = False
    validation_fraction: float | None = None

    @abc.abstractmethod
    def samples(self, split: str, start: int, stop: int) -> Iterator[Sample]:
        """Yields the samples at positions [start, stop) of `split`, always the same ones."""

    def understanding(self) -> list[str]:
        """Returns what the source was taken for and why, in lines such as "image: column 'file'".

        Raises:
            InputError: None of the first images is where the source says.
        """
        return [f"{split}: {count:,} images" for split, count in self.counts.items()]

    def preview(self, count: int) -> tuple[list[Sample], Classes | None]:
        """Returns the first samples, and the classes as far as they are known by then.

        A source that takes long to list reads no more than its beginning for them.
        """
        split = next(iter(self.counts))
        return list(self.samples(split, 0, min(count, self.counts[split]))), self.classes

    def read(self, image: object) -> bytes:
        """Returns an image file's bytes; called from many threads.

        Args:
            image: As a sample has it: a path, a `ByteRange` of a file, the bytes themselves, or
                pixels uint8 `[H, W, 3]` or `[H, W]`.

        Raises:
            image_files.ImageError: The image cannot be read; the reason it is counted under.
        """
        if isinstance(image, bytes):
            return image
        if isinstance(image, ByteRange):
            return image.read()
        if isinstance(image, np.ndarray):
            return image_files.encode_png(image)
        return read_file(image)

    def tfrecord_files(self) -> TFRecordFiles | None:
        """Returns the files of a source of TFRecord, for use where they lie; None of others."""
        return None


class SampleList(Source):
    """A source whose samples are listed.

    Args:
        splits: The samples by split, "train" and "val", or "all".
        seed: Shuffles each split; None keeps an order that is a random one already.
        classes: The classes, or None where labels have no names.
        captioned: Whether samples come with captions of their own.
        rejected: Number of images that were left out while listing, by reason.
        feature_columns: `Options.feature_columns`, where the samples have their `numbers`.

    Raises:
        InputError: No numbers in a feature column, or vectors of several lengths.

    Example:
        >>> @register("mine")
        ... def open_mine(where, options, classes):
        ...     samples = [Sample("a", "photos/a.jpg", ("a cat",))]
        ...     return SampleList({"all": samples}, options.seed, captioned=True)
    """

    shuffled = True

    def __init__(
        self,
        splits: Mapping[str, Sequence[Sample]],
        seed: int | None,
        classes: Classes | None = None,
        captioned: bool = False,
        rejected: Mapping[str, int] | None = None,
        feature_columns: Sequence[str] = (),
    ):
        self.classes = classes
        self.captioned = captioned
        self.rejected = rejected or collections.Counter()
        self.counts = {split: len(samples) for split, samples in splits.items()}
        self._splits = {
            split: samples if seed is None else permuted(samples, seed)
            for split, samples in splits.items()
        }
        numbers = [sample.numbers for samples in splits.values() for sample in samples]
        found = {name: [n.get(name) for n in numbers] for name in names_of(feature_columns)}
        self.columns = choose_columns(feature_columns, found, "the samples")
        self.fingerprint = fingerprint_of(splits, classes)

    def samples(self, split: str, start: int, stop: int) -> Iterator[Sample]:
        """See `Source`."""
        return iter(self._splits[split][start:stop])


def only_column(columns: Sequence[str]) -> str | None:
    """Returns the only one of the caption columns, if any; `InputError` where there are several."""
    if len(columns) > 1:
        raise InputError(
            f"caption_column: expected one for records that are used where they lie, received "
            f"{listing(columns)}; leave --in_place out"
        )
    return columns[0] if columns else None


def fingerprint_of(splits: dict[str, list[Sample]], classes: Classes | None) -> str:
    """Returns a hash of the samples of each split that does not depend on their order."""
    digest = hashlib.sha256(repr(classes and classes.names).encode())
    for split, samples in splits.items():
        digest.update(split.encode())
        for sample in sorted(samples, key=lambda sample: sample.key):
            digest.update(repr((sample.key, sample.captions, sample.label)).encode())
            if sample.numbers:
                digest.update(repr(sorted(sample.numbers.items())).encode())
            if isinstance(sample.image, bytes | np.ndarray):
                digest.update(hashlib.sha256(sample.image).digest())
    return digest.hexdigest()[:16]


def read_file(path: str) -> bytes:
    """Returns the bytes of a file; an `image_files.ImageError` says why there are none."""
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
