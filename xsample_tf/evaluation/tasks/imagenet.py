"""ImageNet's validation images with their own and with ReaL labels, and V2, A, R and Sketch."""

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np

from xsample_tf.errors import InputError
from xsample_tf.evaluation import tables
from xsample_tf.evaluation.heads.class_subset import class_subset, hits_any
from xsample_tf.evaluation.heads.imagenet import (
    CLASSES,
    HEAD,
    ImageNetHead,
    check_head,
    imagenet_head,
    order_alarm,
)
from xsample_tf.evaluation.images import (
    ALLOW_PARTIAL,
    ImageList,
    check_count,
    embed_list,
    read_list,
)
from xsample_tf.evaluation.ranking import hits
from xsample_tf.evaluation.results import Figure, Outcome, Score, of_images
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.tasks.base import TASKS, Task
from xsample_tf.registry import Option

_VALIDATION_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.")


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """One of the sets of images.

    Attributes:
        name: Begins the names of its figures.
        title: For tables.
        option: The option that says where it is.
        help: Of the option.
        count: How many images it has.
        subset: The letter of the classes that it is restricted to; "" for all 1,000.
        numbered: Whether its folders are called 0 to 999, not by WordNet ids.
    """

    name: str
    title: str
    option: str
    help: str
    count: int
    subset: str = ""
    numbered: bool = False

    @property
    def classes(self) -> list[int]:
        """The indices of the classes that its images may have."""
        return tables.imagenet_subset(self.subset) if self.subset else list(range(CLASSES))


SETS = (
    ImageSet("val", "ImageNet validation", "imagenet_dir", "ImageNet's validation images", 50_000),
    ImageSet("v2", "ImageNet-V2", "imagenet_v2_dir", "A variant of ImageNet-V2", 10_000, "", True),
    ImageSet("a", "ImageNet-A, of its 200 classes", "imagenet_a_dir", "ImageNet-A", 7_500, "a"),
    ImageSet("r", "ImageNet-R, of its 200 classes", "imagenet_r_dir", "ImageNet-R", 30_000, "r"),
    ImageSet("sketch", "ImageNet-Sketch", "imagenet_sketch_dir", "ImageNet-Sketch", 50_889),
)


@TASKS.register(
    "imagenet",
    options=[
        *(
            Option(s.option, "", f"{s.help}: a folder of class folders, or tfds:NAME.")
            for s in SETS
        ),
        HEAD,
        ALLOW_PARTIAL,
    ],
)
class ImageNet(Task):
    """ImageNet validation, ReaL, V2, A, R and Sketch, by scores of the 1,000 classes."""

    figures = (
        Figure("val_top1", "ImageNet validation top-1 accuracy", "{:.1%}"),
        Figure("val_top5", "ImageNet validation top-5 accuracy", "{:.1%}"),
        Figure("real_top1", "ImageNet ReaL accuracy", "{:.1%}"),
        *(Figure(f"{s.name}_top1", f"{s.title}, top-1 accuracy", "{:.1%}") for s in SETS[1:]),
    )

    def __init__(self, imagenet_head: str, allow_partial: bool, **where: str):
        self._head, self._partial = imagenet_head, allow_partial
        self._where = where
        self._lists: dict[str, ImageList] = {}
        self._left_out: dict[str, str] = {}

    def check(self, runner: Runner) -> None:
        """Lists the images and looks at the classes.

        Raises:
            InputError: No set is named; one is not there or not whole; or a head without classes.
        """
        sets = [one for one in SETS if self._where[one.option]]
        if not sets:
            raise InputError(
                f"imagenet: expected one or more of {', '.join('--' + s.option for s in SETS)}, "
                "received none"
            )
        needed = sorted({index for one in sets for index in one.classes})
        check_head(runner, self._head, needed, self._partial)
        for one in sets:
            images = read_list(one.option, self._where[one.option], _labels_of(one))
            self._left_out |= check_count(
                one.option, len(images), one.count, images.where, self._partial
            )
            self._lists[one.name] = images

    def run(self, runner: Runner) -> Outcome:
        """Returns the accuracies of the sets that are there."""
        head = imagenet_head(runner, self._head)
        if head is None:
            return Outcome({})
        outcome = Outcome({}, {"head": head.text}, dict(self._left_out))
        for one in SETS:
            if one.name in self._lists:
                outcome = _joined(outcome, self._score(runner, one, head))
        return outcome

    def _score(self, runner: Runner, one: ImageSet, head: ImageNetHead) -> Outcome:
        images = self._lists[one.name]
        embeddings, rows, left_out = embed_list(runner, one.option, images, self._partial)
        all_scores, labels = head.scores(embeddings), images.labels[rows]
        scores: dict[str, Score] = {}
        classes = [index for index in one.classes if head.known[index]]
        use = np.isin(labels, classes)
        if use.any():
            place = np.full(CLASSES, -1)
            place[classes] = np.arange(len(classes))
            found, own = class_subset(all_scores[use], classes), place[labels[use]]
            for top in (1, 5) if one.name == "val" else (1,):
                right = hits(found, own, top).astype(np.float32)
                scores[f"{one.name}_top{top}"] = Score(
                    float(right.mean()), min(1.0, top / len(classes)), right
                )
        scores = of_images(scores, images.hashes(rows[use]))
        if not use.all():
            left_out[f"{np.sum(~use):,} images of {one.option}"] = (
                "no class folders"
                if (labels < 0).all()
                else "they are of classes that the classifier does not know"
            )
        if one.name == "val":
            real = _real_score(all_scores, [images.names[row] for row in rows])
            if real is None:
                left_out["ReaL"] = "no image is called ILSVRC2012_val_00000001.JPEG and so on"
            else:
                scores |= of_images({"real_top1": real}, images.hashes(rows))
        meta = {"from": images.where, "images": int(use.sum()), "classes": len(classes)}
        top1 = scores.get(f"{one.name}_top1")
        warnings = () if top1 is None else order_alarm(one.option, top1.value, top1.chance, head)
        return Outcome(scores, {one.name: meta}, left_out, warnings)


def _real_score(scores: np.ndarray, names: Sequence[str]) -> Score | None:
    """ReaL accuracy over images whose list of labels is not empty, joined by file name."""
    lists = tables.real_labels()
    numbers = [_VALIDATION_NAME.match(name) for name in names]
    known = {f"{place:08}": own for place, own in enumerate(lists, 1)}
    labels = [known.get(found[1], ()) if found else () for found in numbers]
    labelled = np.array([bool(own) for own in labels])
    if not labelled.any():
        return None
    own = [labels[row] for row in np.flatnonzero(labelled)]
    right = hits_any(scores[labelled], own).astype(np.float32)
    chance = float(np.mean([len(one) for one in own])) / CLASSES
    return Score(float(right.mean()), chance, right, np.flatnonzero(labelled))


def _labels_of(one: ImageSet) -> Callable[[str], int | None]:
    """The label of a class by its folder's name."""
    wnids = {found.wnid: index for index, found in enumerate(tables.imagenet_classes())}
    allowed = set(one.classes)

    def label(name: str) -> int | None:
        index = wnids.get(name)
        if one.numbered and name.isdigit() and int(name) < CLASSES:
            index = int(name)  # As strings, 10 would stand before 2.
        return index if index in allowed else None

    return label


def _joined(first: Outcome, second: Outcome) -> Outcome:
    return Outcome(
        first.scores | second.scores,
        first.meta | second.meta,
        first.left_out | second.left_out,
        first.warnings + second.warnings,
    )
