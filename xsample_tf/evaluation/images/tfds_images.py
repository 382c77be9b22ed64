"""Reads an evaluation data set that TensorFlow Datasets has."""

import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError, listing

if TYPE_CHECKING:
    import tensorflow_datasets

TFDS = "tfds:"
# What features are called in the data sets of the ImageNet family.
_LABELS = ("label", "original_label")
_FILE_NAME = "file_name"
_SPLITS = ("validation", "test")


def read_tfds(
    option: str, where: str, label_of: Callable[[str], int | None]
) -> tuple[tf.data.Dataset, np.ndarray, list[str]]:
    """Returns the images of a data set, undecoded, their labels and their file names.

    It is read twice: first for labels and names, then for the images.

    Args:
        option: The option that has `where`, for messages.
        where: tfds:NAME, or tfds:DIR.
        label_of: The label of a class by its name in the data set.

    Raises:
        InputError: No such data set, it cannot be prepared, or it lacks images, labels or classes.
    """
    import tensorflow_datasets as tfds  # Here, since it takes seconds.

    builder = _open(option, where)
    features = builder.info.features
    label = next((name for name in _LABELS if name in features), None)
    if "image" not in features or label is None:
        raise InputError(
            f"{option}: expected features image and label in {where}, received {listing(features)}"
        )
    classes = [label_of(name) for name in features[label].names]
    split = _split_of(option, where, list(builder.info.splits))
    fields = {label: features[label]} | {
        name: features[name] for name in (_FILE_NAME,) if name in features
    }
    config = tfds.ReadConfig(interleave_cycle_length=1)
    told = builder.as_dataset(
        split=split, decoders=tfds.decode.PartialDecoding(fields), read_config=config
    )
    numbers, names = [], []
    for example in told.as_numpy_iterator():
        number = int(example[label])
        numbers.append(classes[number] if number >= 0 else -1)
        if numbers[-1] is None:
            raise InputError(
                f"{option}: expected images of the data set's own classes in {where}, received "
                f"one of {features[label].names[number]!r}"
            )
        names.append(pathlib.PurePath(example.get(_FILE_NAME, b"").decode()).name)
    images = builder.as_dataset(
        split=split, decoders={"image": tfds.decode.SkipDecoding()}, read_config=config
    ).map(lambda example: example["image"])
    return images, np.array(numbers, np.int64), names


def _open(option: str, where: str) -> "tensorflow_datasets.core.DatasetBuilder":
    import tensorflow_datasets as tfds

    name = where.removeprefix(TFDS)
    try:
        if pathlib.Path(name, "features.json").is_file():
            return tfds.builder_from_directory(name)
        builder = tfds.builder(name)
        builder.download_and_prepare()
    except Exception as error:  # Builders raise anything: no network, no manual download, ...
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{option}: TFDS cannot prepare {where!r}: {reason}") from error
    return builder


def _split_of(option: str, where: str, splits: list[str]) -> str:
    """The only split, or the one that is for evaluation."""
    found = splits if len(splits) == 1 else [name for name in _SPLITS if name in splits]
    if not found:
        raise InputError(
            f"{option}: expected a split {' or '.join(_SPLITS)} in {where}, received "
            f"{listing(splits)}"
        )
    return found[0]
