"""TensorFlow Datasets as a source, by name or by the folder of a prepared data set."""

import collections
import pathlib
import re
from collections.abc import Iterator

import tensorflow as tf
import tensorflow_datasets as tfds

from xsample_tf.data import sources
from xsample_tf.data.records import FeatureNames
from xsample_tf.errors import InputError, suggest

_CAPTIONS = ("caption", "captions", "captions/text", "text", "description")


class TFDS:
    """A `sources.Source` over any TFDS data set that has an image feature.

    Image bytes are taken as they are stored, undecoded. Features are chosen by
    `Options.image_column`, `caption_columns` and `label_column` ("captions/text" is a feature in a
    feature), else the only image, the usual caption names, the only class label. Of the splits,
    "train" trains and "validation", "val" or "test" validates. Samples come in the order of TFDS,
    which shuffles when it prepares.

    Args:
        where: NAME, NAME/CONFIG, NAME:CONFIG, NAME:VERSION, or a folder with `features.json`.
        options: Columns and `tfds_dir`.
        classes: Replaces the names of the class label.

    Raises:
        InputError: No such data set, it cannot be prepared, or it lacks the features.
    """

    default_resize = 0
    shuffled = True

    def __init__(
        self, where: str, options: sources.Options, classes: sources.Classes | None = None
    ):
        self._builder = _open(where, options.tfds_dir)
        self._features = _flat(self._builder.info.features)
        self._image = self._choose_image(options.image_column)
        self._captions = self._choose_captions(options.caption_columns)
        self._label = self._choose_label(options.label_column)
        if classes is None and self._label:
            names = tuple(self._features[self._label].names)
            classes = sources.Classes(names, names)
        self.classes = classes
        self.captioned = bool(self._captions)
        self.rejected = collections.Counter()
        self._names = _split_names(where, self._builder.info.splits)
        self.counts = {
            split: self._builder.info.splits[name].num_examples
            for split, name in self._names.items()
        }
        chosen = (self._image, self._captions, self._label, classes and classes.names)
        self.fingerprint = f"{self._builder.info.full_name} {chosen} {self.counts}"

    def samples(self, split: str, start: int, stop: int) -> Iterator[sources.Sample]:
        """See `sources.Source`."""
        stored = self._builder.as_dataset(
            split=f"{self._names[split]}[{start}:{stop}]",
            decoders={self._image: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(add_tfds_id=True),
        )
        for example in self._examples(stored):
            label = int(example[self._label]) if self._label else None
            yield sources.Sample(
                key=example["tfds_id"].decode(),
                image=bytes(_at(example, self._image)),
                captions=tuple(c for name in self._captions for c in _texts(_at(example, name))),
                label=None if label == -1 else label,  # TFDS's mark of an unlabelled example.
            )

    def read(self, image: bytes) -> bytes:
        """See `sources.Source`."""
        return image

    def stored(self) -> sources.TFRecordFiles:
        """See `sources.TFRecordFiles`."""
        kind = self._builder.info.file_format.value
        if kind != "tfrecord":
            raise InputError(
                f"in_place: expected TFRecord files, received {kind} in {self._builder.data_path}; "
                "leave --in_place out to copy them"
            )
        splits = self._builder.info.splits
        files = {
            split: tuple(
                zip(map(str, splits[name].filepaths), splits[name].shard_lengths, strict=True)
            )
            for split, name in self._names.items()
        }
        captions = sources.only_column(self._captions) or ""
        return sources.TFRecordFiles(
            files, FeatureNames(self._image, "", captions, self._label or "")
        )

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
        found = [name for name in self._of_type(tfds.features.Image) if "/" not in name]
        if column is None and len(found) == 1:
            return found[0]
        if column not in found:
            raise InputError(
                f"image_column: expected an image feature of {self._builder.name}, received "
                f"{column!r}; " + suggest(column or "", found or self._features)
            )
        return column

    def _choose_captions(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        texts = self._of_type(tfds.features.Text)
        for column in columns:
            if column not in texts:
                raise InputError(
                    f"caption_column: no text feature {column!r} in {self._builder.name}; "
                    + suggest(column, texts or self._features)
                )
        return columns or tuple(name for name in _CAPTIONS if name in texts)[:1]

    def _choose_label(self, column: str | None) -> str | None:
        found = [name for name in self._of_type(tfds.features.ClassLabel) if "/" not in name]
        if column is not None and column not in found:
            raise InputError(
                f"label_column: no class label {column!r} in {self._builder.name}; "
                + suggest(column, found or self._features)
            )
        return column or (found[0] if len(found) == 1 else None)


def _open(where: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
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


def _split_names(where: str, splits: tfds.core.splits.SplitDict) -> dict[str, str]:
    held_out = [name for name in ("validation", "val", "test") if name in splits]
    if "train" in splits:
        return {"train": "train", "val": held_out[0]} if held_out else {"all": "train"}
    if len(splits) != 1:
        raise InputError(f"source: expected a split 'train' in {where}, found {sorted(splits)}")
    return {"all": next(iter(splits))}


def _flat(features: tfds.features.FeatureConnector, prefix: str = "") -> dict[str, object]:
    """Returns features by name, "captions/text" for a feature in a (sequence of a) dictionary."""
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
