"""Any folder with a folder of images for each class."""

import hashlib
import pathlib

import numpy as np
import tensorflow as tf

from xsample_tf.data import SourceOptions, image_files
from xsample_tf.data.sources import Sample, open_source
from xsample_tf.errors import InputError
from xsample_tf.evaluation.images import ImageList, embed_list
from xsample_tf.evaluation.results import Outcome
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.splits import Split
from xsample_tf.evaluation.tasks.base import TASKS, Task
from xsample_tf.registry import Option


@TASKS.register(
    "folder",
    options=[
        Option(
            "folder_dir",
            "",
            "Images to probe, CLASS/IMAGE: a half is fitted on; or folders train and val of such.",
        )
    ],
)
class Folder(Task):
    """Labelled folders that nobody prepared: all measures of labels, fitted on train or a half."""

    def __init__(self, folder_dir: str):
        self._where = folder_dir
        self._samples: dict[str, list[Sample]] = {}
        self._names: tuple[str, ...] = ()

    def check(self, runner: Runner) -> None:
        """Lists the images.

        Raises:
            InputError: No folder, no class folders, or fewer than two classes.
        """
        if not self._where:
            raise InputError("folder_dir: expected a folder of class folders, received none")
        options = SourceOptions(caption_columns=("none",), seed=runner.settings.seed)
        source = open_source(f"folder:{self._where}", options)
        self._names = source.classes.names
        if len(self._names) < 2:
            raise InputError(
                f"folder_dir: expected two classes or more in {self._where}, received "
                f"{len(self._names)}"
            )
        self._samples = {
            split: list(source.samples(split, 0, count)) for split, count in source.counts.items()
        }
        if len(self._samples) == 1:
            (samples,) = self._samples.values()
            self._samples = _halves(samples, runner.settings.seed)

    def run(self, runner: Runner) -> Outcome:
        """Returns what the measures give."""
        found, left_out = {}, {}
        for split, samples in self._samples.items():
            images = _image_list(f"{self._where} ({split})", samples)
            embeddings, rows, missing = embed_list(
                runner, f"folder_dir {split}", images, partial=True
            )
            found[split] = Split(embeddings, images.labels[rows], hashes=images.hashes(rows))
            if missing:
                left_out[f"{len(images) - len(rows)} images of {split}"] = "they cannot be decoded"
        outcome = runner.measure(runner.splits(found.get("train"), found["val"], len(self._names)))
        meta = outcome.meta | {"from": self._where}
        return Outcome(outcome.scores, meta, left_out | outcome.left_out)


def _halves(samples: list[Sample], seed: int) -> dict[str, list[Sample]]:
    """A half of each class by the names of the images, whatever their order."""
    halves: dict[str, list[Sample]] = {"train": [], "val": []}
    by_class: dict[int, list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: _order(sample.key, seed)):
        by_class.setdefault(sample.label, []).append(sample)
    for own in by_class.values():
        halves["train"] += own[: (len(own) + 1) // 2]
        halves["val"] += own[(len(own) + 1) // 2 :]
    return halves


def _order(key: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed} {key}".encode(), digest_size=8).digest()


def _image_list(where: str, samples: list[Sample]) -> ImageList:
    """The images as `prepare` would store them."""

    def read(path: bytes) -> bytes:
        try:
            return image_files.normalize(pathlib.Path(path.decode()).read_bytes())[0]
        except (image_files.ImageError, OSError):
            return b""  # Which cannot be decoded, and is counted so.

    contents = tf.data.Dataset.from_tensor_slices([str(sample.image) for sample in samples]).map(
        lambda path: tf.ensure_shape(tf.numpy_function(read, [path], tf.string), []),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    labels = np.array([sample.label for sample in samples], np.int64)
    return ImageList(where, contents, labels, [sample.key for sample in samples])
