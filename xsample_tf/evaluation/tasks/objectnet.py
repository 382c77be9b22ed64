"""ObjectNet: objects from odd sides in odd places, by the classes that it shares with ImageNet."""

import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from xsample_tf.data.views import Evaluation
from xsample_tf.errors import InputError
from xsample_tf.evaluation import tables
from xsample_tf.evaluation.heads.class_subset import class_subset, hits_any
from xsample_tf.evaluation.heads.imagenet import (
    CLASSES,
    HEAD,
    check_head,
    imagenet_head,
    order_alarm,
)
from xsample_tf.evaluation.images import (
    ALLOW_PARTIAL,
    ImageList,
    check_count,
    embed_list,
    from_paths,
    is_image,
)
from xsample_tf.evaluation.ranking import hits
from xsample_tf.evaluation.results import Figure, Outcome, Score, of_images
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.tasks.base import TASKS, Task
from xsample_tf.files import walk
from xsample_tf.registry import Option

COUNT = 18_574  # Images of the folders that ImageNet has classes of.
BORDER = 2  # Pixels: the red one is 1 wide, and copies smear it.


@TASKS.register(
    "objectnet",
    options=[
        Option("objectnet_dir", "", "ObjectNet's folder, objectnet-1.0 or the images in it."),
        HEAD,
        ALLOW_PARTIAL,
    ],
)
class ObjectNet(Task):
    """ObjectNet's 113 shared folders, restricted to their classes and by all 1,000."""

    figures = (
        Figure("restricted_top1", "top-1 accuracy of 113 classes", "{:.1%}"),
        Figure("restricted_top5", "top-5 accuracy of 113 classes", "{:.1%}"),
        Figure("full_top1", "top-1 accuracy of all 1,000 classes", "{:.1%}"),
        Figure("full_top5", "top-5 accuracy of all 1,000 classes", "{:.1%}"),
    )

    def __init__(self, objectnet_dir: str, imagenet_head: str, allow_partial: bool):
        self._where, self._head, self._partial = objectnet_dir, imagenet_head, allow_partial
        self._images: ImageList | None = None
        self._left_out: dict[str, str] = {}

    def check(self, runner: Runner) -> None:
        """Lists the images and looks at the classes.

        Raises:
            InputError: No folder, or one that is not whole.
        """
        folders = tables.objectnet_folders()
        needed = sorted({index for indices in folders.values() for index in indices})
        self._images = _read(self._where, list(folders))
        self._left_out = check_count(
            "objectnet_dir", len(self._images), COUNT, self._images.where, self._partial
        )
        check_head(runner, self._head, needed, self._partial)

    def run(self, runner: Runner) -> Outcome:
        """Returns top-1 and top-5 accuracy by both rules."""
        head, images = imagenet_head(runner, self._head), self._images
        if head is None:
            return Outcome({})
        embeddings, rows, left_out = embed_list(
            runner, "objectnet_dir", images, self._partial, _without_border(runner.image_size)
        )
        scores = objectnet_scores(head.scores(embeddings), images.labels[rows])
        scores = of_images(scores, images.hashes(rows))
        top1 = scores["restricted_top1"]
        return Outcome(
            scores,
            {"head": head.text, "from": images.where, "images": len(rows), "border": BORDER},
            self._left_out | left_out,
            order_alarm("objectnet_dir", top1.value, top1.chance, head),
        )


def objectnet_scores(scores: np.ndarray, labels: np.ndarray) -> dict[str, Score]:
    """Returns the accuracies of both rules by their figures' names.

    `restricted` compares the 113 folders, of which one with several ImageNet classes scores as its
    best. `full` compares all 1,000 classes, where any of the folder's own is right.

    Args:
        scores: Float `[N, 1000]`.
        labels: Int `[N]`, the place of the image's folder among the 113.
    """
    groups = list(tables.objectnet_folders().values())
    restricted, own = class_subset(scores, groups), [groups[label] for label in labels]
    found = {}
    for top in (1, 5):
        right = hits(restricted, labels, top).astype(np.float32)
        found[f"restricted_top{top}"] = Score(float(right.mean()), top / len(groups), right)
        right = hits_any(scores, own, top).astype(np.float32)
        chance = top * float(np.mean([len(group) for group in own])) / CLASSES
        found[f"full_top{top}"] = Score(float(right.mean()), chance, right)
    return found


def _read(where: str, folders: list[str]) -> ImageList:
    """The images of the shared folders, labelled by their places."""
    if not where or not pathlib.Path(where).is_dir():
        raise InputError(f"objectnet_dir: expected a folder, received {where or 'none'}")
    root = pathlib.Path(where)
    root = next((r for r in (root / "objectnet-1.0", root) if (r / "images").is_dir()), root)
    root = root / "images" if (root / "images").is_dir() else root
    paths, labels = [], []
    for label, folder in enumerate(folders):
        found = [path for path in walk(root / folder) if is_image(path)]
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise InputError(
            f"objectnet_dir: expected folders such as {folders[0]} and {folders[1]} with images in "
            f"{root}, received none"
        )
    return from_paths(str(root), paths, labels)


def _without_border(size: int) -> Callable[[tf.Tensor], tf.Tensor]:
    view = Evaluation(size)
    return lambda image: view(image[BORDER:-BORDER, BORDER:-BORDER])[0]
