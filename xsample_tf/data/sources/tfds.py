"""TensorFlow Datasets as a source, by name or by the folder of a prepared data set."""

import collections
import pathlib
import re
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import tensorflow as tf

from xsample_tf.data.feature_columns import choose_columns, names_of
from xsample_tf.data.records import FeatureNames
from xsample_tf.data.sources.base import (
    Classes,
    Options,
    Sample,
    Source,
    TFRecordFiles,
    only_column,
    register,
)
from xsample_tf.data.sources.formats import SAMPLE_ROWS
from xsample_tf.data.sources.interpretation import splits
from xsample_tf.data.sources.interpretation.roles import NONE
from xsample_tf.errors import InputError, listing, suggest

if TYPE_CHECKING:
    import tensorflow_datasets

_CAPTIONS = ("caption", "captions", "captions/text", "text", "description")


@register("tfds")
class TFDS(Source):
    """TensorFlow Datasets, by name or by the folder of a prepared data set: tfds:NAME.

    Takes any data set that has an image feature.

    Image bytes are taken as they are stored, undecoded. Features are chosen by
    `Options.image_column`, `caption_columns` and `label_column` ("captions/text" is a feature in a
    feature), else the only image, the usual caption names, the only class label. Splits are used as
    `splits.choose` says. Samples come in the order of TFDS, which shuffles when it prepares.

    Args:
        where: NAME, NAME/CONFIG, NAME:CONFIG, NAME:VERSION, or a folder with `features.json`.
        options: Columns and `tfds_dir`.
        classes: Replaces the names of the class label.

    Raises:
        InputError: No such data set, it cannot be prepared, it lacks the features, or it has texts
            of which none is called as captions are.
    """

    shuffled = True

    def __init__(self, where: str, options: Options, classes: Classes | None = None):
        self._options = options
        self._builder = _open(where, options.tfds_dir)
        self._features = _flat(self._builder.info.features)
        self._image = self._choose_image(options.image_column)
        self._captions = self._choose_captions(options.caption_columns)
        self._label = self._choose_label(options.label_column)
        if classes is None and self._label:
            names = tuple(self._features[self._label].names)
            classes = Classes(names, names)
        self.classes = classes
        self._numbers = list(names_of(options.feature_columns))
        for name in self._numbers:
            if name not in self._features:
                raise InputError(
                    f"feature_columns: no feature {name!r} in {self._builder.name}; "
                    + suggest(name, self._features)
                )
        self.captioned = bool(self._captions)
        sizes = {name: info.num_examples for name, info in self._builder.info.splits.items()}
        self._names, left_out, self._notes = _choose_splits(where, list(sizes), options)
        self.rejected = collections.Counter()
        for name, split in left_out.items():
            self.rejected[f"split_{split}"] += sizes[name]
        self._sizes = sizes
        self.counts = {use: sum(sizes[n] for n in own) for use, own in self._names.items()}
        self.columns = choose_columns(options.feature_columns, self._first_numbers(), where)
        chosen = (self._image, self._captions, self._label, classes and classes.names)
        self.fingerprint = f"{self._builder.info.full_name} {chosen} {self.counts}"

    def understanding(self) -> list[str]:
        """See `Source`."""
        named = self._options.caption_columns or self._options.label_column
        why = "" if named else " (--image_column, --caption_column, --label_column take others)"
        return [
            f"tfds: {self._builder.info.full_name}{why}",
            *(f"{use}: split {listing(own, repr)}" for use, own in self._names.items()),
            *self._notes,
            f"image: feature {self._image!r}",
            f"captions: {listing(self._captions, repr) or 'none; class names'}",
            f"label: {repr(self._label) if self._label else 'none'}",
        ]

    def samples(self, split: str, start: int, stop: int) -> Iterator[Sample]:
        """See `Source`."""
        ranges = list(self._ranges(split, start, stop))
        if not ranges:
            return
        tfds = _package()
        stored = self._builder.as_dataset(
            split="+".join(ranges),
            decoders={self._image: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(add_tfds_id=True),
        )
        for example in self._examples(stored):
            label = int(example[self._label]) if self._label else None
            yield Sample(
                key=example["tfds_id"].decode(),
                image=bytes(_at(example, self._image)),
                captions=tuple(c for name in self._captions for c in _texts(_at(example, name))),
                label=None if label == -1 else label,  # TFDS's mark of an unlabelled example.
                numbers={name: _at(example, name) for name in self._numbers},
            )

    def tfrecord_files(self) -> TFRecordFiles:
        """See `Source`."""
        kind = self._builder.info.file_format.value
        if kind != "tfrecord":
            raise InputError(
                f"in_place: expected TFRecord files, received {kind} in {self._builder.data_path}; "
                "leave --in_place out to copy them"
            )
        files = {}
        for use, names in self._names.items():
            infos = [self._builder.info.splits[name] for name in names]
            paths = [str(path) for info in infos for path in info.filepaths]
            lengths = [length for info in infos for length in info.shard_lengths]
            files[use] = tuple(zip(paths, lengths, strict=True))
        captions = only_column(self._captions) or ""
        return TFRecordFiles(files, FeatureNames(self._image, "", captions, self._label or ""))

    def _ranges(self, use: str, start: int, stop: int) -> Iterator[str]:
        """Yields the parts of the splits of a use in which positions [start, stop) lie."""
        before = 0
        for name in self._names[use]:
            first, last = max(start - before, 0), min(stop - before, self._sizes[name])
            before += self._sizes[name]
            if first < last:
                yield f"{name}[{first}:{last}]"

    def _first_numbers(self) -> dict[str, list[object]]:
        """The first values of the feature columns."""
        if not self._numbers:
            return {}
        split = next(iter(self.counts))
        samples = list(self.samples(split, 0, min(SAMPLE_ROWS, self.counts[split])))
        return {name: [sample.numbers[name] for sample in samples] for name in self._numbers}

    def _examples(self, stored: tf.data.Dataset) -> Iterator[dict]:
        try:
            yield from stored.as_numpy_iterator()
        except tf.errors.OpError as error:
            raise InputError(
                f"source: cannot read {self._builder.data_path}; prepare it again with TFDS"
            ) from error

    def _of_type(self, kind: type) -> list[str]:
        return [name for name, feature in self._features.items() if isinstance(feature, kind)]

    def _choose_image(self, column: str | None) -> str:
        found = [name for name in self._of_type(_package().features.Image) if "/" not in name]
        if column is None and len(found) == 1:
            return found[0]
        if column not in found:
            raise InputError(
                f"image_column: expected an image feature of {self._builder.name}, received "
                f"{column!r}; " + suggest(column or "", found or self._features)
            )
        return column

    def _choose_captions(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        if columns == (NONE,):
            return ()
        texts = self._of_type(_package().features.Text)
        for column in columns:
            if column not in texts:
                raise InputError(
                    f"caption_column: no text feature {column!r} in {self._builder.name}; "
                    + suggest(column, texts or self._features)
                )
        chosen = columns or tuple(name for name in _CAPTIONS if name in texts)[:1]
        if texts and not chosen:
            raise InputError(
                f"caption_column: {self._builder.name} has texts of which none is called as "
                f"captions are: {listing(texts)}; name one with --caption_column, or give "
                "--caption_column=none"
            )
        return chosen

    def _choose_label(self, column: str | None) -> str | None:
        if column == NONE:
            return None
        found = [name for name in self._of_type(_package().features.ClassLabel) if "/" not in name]
        if column is not None and column not in found:
            raise InputError(
                f"label_column: no class label {column!r} in {self._builder.name}; "
                + suggest(column, found or self._features)
            )
        return column or (found[0] if len(found) == 1 else None)


def _package() -> ModuleType:
    import tensorflow_datasets  # Here, since it takes seconds.

    return tensorflow_datasets


def _open(where: str, data_dir: str | None) -> "tensorflow_datasets.core.DatasetBuilder":
    tfds = _package()
    if pathlib.Path(where, "features.json").is_file():
        return tfds.builder_from_directory(where)
    name, _, config = where.partition(":")
    if config and not re.fullmatch(r"[\d.*]+", config):
        where = f"{name}/{config}"
    try:
        builder = tfds.builder(where, data_dir=data_dir)
        builder.download_and_prepare()
    except tfds.core.registered.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        raise InputError(f"source: no TFDS data set {where!r}; {suggest(name, known)}") from error
    except Exception as error:  # Builders raise anything: no network, no manual download, ...
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"source: TFDS cannot prepare {where!r}: {reason}") from error
    return builder


def _choose_splits(
    where: str, names: list[str], options: Options
) -> tuple[dict[str, list[str]], dict[str, str], tuple[str, ...]]:
    """The splits of each use, what those are that are left out, and lines that say so."""
    found = {name: split for name in names if (split := splits.canonical(name))}
    if not found and len(names) == 1:
        return {"all": names}, {}, ()
    if not found:
        raise InputError(f"source: expected a split 'train' in {where}, found {listing(names)}")
    uses, notes = splits.choose(dict.fromkeys(found.values()), options.validation_split)
    used = {use: [n for n, own in found.items() if own == split] for split, use in uses.items()}
    left_out = {name: split for name, split in found.items() if split not in uses}
    left_out |= {name: name for name in names if name not in found}
    notes += tuple(f"split {name!r} is left out" for name in names if name not in found)
    return used, left_out, notes


def _flat(
    features: "tensorflow_datasets.features.FeatureConnector", prefix: str = ""
) -> dict[str, object]:
    """Returns features by name, "captions/text" for a feature in a (sequence of a) dictionary."""
    tfds = _package()
    if isinstance(features, tfds.features.Sequence):
        features = features.feature
    if not isinstance(features, tfds.features.FeaturesDict):
        return {prefix.rstrip("/"): features}
    flat = {}
    for name, feature in features.items():
        flat |= _flat(feature, f"{prefix}{name}/")
    return flat


def _at(example: dict, name: str) -> object:
    for part in name.split("/"):
        example = example[part]
    return example


def _texts(value: object) -> list[str]:
    texts = [value] if isinstance(value, bytes) else list(value)
    return [text.decode("utf-8", "surrogateescape") for text in texts]
