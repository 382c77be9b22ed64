"""Images with a class each, from folders of classes or from TensorFlow Datasets."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError, listing
from xsample_tf.evaluation.features import hashes_of
from xsample_tf.evaluation.images.tfds_images import TFDS, read_tfds
from xsample_tf.files import is_hidden, walk

_ENDINGS = (".jpg", ".jpeg", ".png")
UNLABELLED = -1


@dataclasses.dataclass(frozen=True)
class ImageList:
    """The images of a data set, undecoded.

    Attributes:
        where: Where they are from, for messages.
        contents: The files' bytes, scalar strings, in order.
        labels: Int64 `[N]`, -1 where there is none.
        names: Names of the files without folders.
    """

    where: str
    contents: tf.data.Dataset
    labels: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def keys(self) -> list[bytes]:
        """What tells the images apart wherever the data set lies."""
        return [
            os.fsencode(f"{label}/{name}")
            for label, name in zip(self.labels, self.names, strict=True)
        ]

    def hashes(self, rows: np.ndarray) -> np.ndarray:
        """Returns hashes uint64 `[M]` of the images of rows int `[M]`."""
        return hashes_of(self.keys)[rows]


def read_list(option: str, where: str, label_of: Callable[[str], int | None]) -> ImageList:
    """Returns the images of a folder with a folder for each class, or of `tfds:NAME`.

    A folder without class folders gives its images unlabelled.

    Args:
        option: The option that has `where`, for messages.
        where: DIR, or tfds:NAME, or tfds:DIR of a data set that TFDS has prepared.
        label_of: The label of a class by its folder's name; None for a folder that is no class.

    Raises:
        InputError: Nothing there, or folders that are no classes; the message has what was looked
            for.
    """
    if where.startswith(TFDS):
        return ImageList(where, *read_tfds(option, where, label_of))
    root = pathlib.Path(where)
    if not root.is_dir():
        raise InputError(f"{option}: expected a folder, or tfds:NAME, received {where!r}")
    folders = sorted(e.name for e in os.scandir(root) if e.is_dir() and not is_hidden(e.name))
    if not folders:
        return from_paths(where, [path for path in walk(root) if is_image(path)])
    strangers = [name for name in folders if label_of(name) is None]
    if strangers:
        raise InputError(
            f"{option}: expected a folder for each class in {where}, named as in the data set's "
            f"own archive, received {listing(strangers, repr)}"
        )
    paths, labels = [], []
    for name in folders:
        found = [path for path in walk(root / name) if is_image(path)]
        paths += found
        labels += [label_of(name)] * len(found)
    return from_paths(where, paths, labels)


def from_paths(where: str, paths: Sequence[str], labels: Sequence[int] | None = None) -> ImageList:
    """Returns image files as a list, all unlabelled without labels."""
    contents = tf.data.Dataset.from_tensor_slices(np.array(paths, object)) if paths else None
    if contents is None:
        raise InputError(f"no image files ({', '.join(_ENDINGS)}) in {where}")
    labels = [UNLABELLED] * len(paths) if labels is None else labels
    return ImageList(
        where,
        contents.map(tf.io.read_file, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True),
        np.array(labels, np.int64),
        [os.path.basename(path) for path in paths],
    )


def is_image(path: str) -> bool:
    """Whether a file's name is that of a JPEG or PNG."""
    return path.lower().endswith(_ENDINGS)
