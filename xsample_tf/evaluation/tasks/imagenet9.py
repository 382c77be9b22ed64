"""ImageNet-9: nine kinds of objects before their own, other or no backgrounds."""

import os
import pathlib
import re
from collections.abc import Mapping

import numpy as np

from xsample_tf.errors import InputError, listing
from xsample_tf.evaluation import tables
from xsample_tf.evaluation.heads.class_subset import class_subset
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
    as_they_are,
    check_count,
    embed_list,
    read_list,
)
from xsample_tf.evaluation.ranking import hits
from xsample_tf.evaluation.results import Figure, Outcome, Score, of_images
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.tasks.base import TASKS, Task
from xsample_tf.registry import Option

VARIATIONS = (
    *("original", "mixed_same", "mixed_rand", "mixed_next"),
    *("only_fg", "no_fg", "only_bg_b", "only_bg_t"),
)
COUNT = 4050  # Images of each.
RULES = {
    "map": "published map of 1,000 classes",
    "nine": "restricted to the classes of the nine",
    "exact": "exact class of 1,000",
}
_GROUPS = len(tables.IMAGENET_9)
_WNID = re.compile(r"n\d{8}")


@TASKS.register(
    "imagenet9",
    options=[
        Option("imagenet9_dir", "", "ImageNet-9's folder, with original/val, mixed_same/val, ..."),
        HEAD,
        ALLOW_PARTIAL,
    ],
)
class ImageNet9(Task):
    """All variations of ImageNet-9 by three rules, and the gap between two backgrounds."""

    figures = (
        *(
            Figure(f"{variation}_{rule}", f"{variation}, {text}", "{:.1%}")
            for variation in VARIATIONS
            for rule, text in RULES.items()
        ),
        *(
            Figure(f"bg_gap_{rule}", f"BG-gap, mixed_same - mixed_rand, {text}", "{:+.1%}")
            for rule, text in RULES.items()
        ),
    )

    def __init__(self, imagenet9_dir: str, imagenet_head: str, allow_partial: bool):
        self._where, self._head, self._partial = imagenet9_dir, imagenet_head, allow_partial
        self._lists: dict[str, ImageList] = {}
        self._left_out: dict[str, str] = {}

    def check(self, runner: Runner) -> None:
        """Lists the images of all variations that are there, and looks at the classes.

        Raises:
            InputError: No folder, no variation in it, or one that is not whole.
        """
        if not self._where:
            raise InputError("imagenet9_dir: expected the folder of ImageNet-9, received none")
        check_head(runner, self._head, range(CLASSES), self._partial)
        root = _root(self._where)
        for variation in VARIATIONS:
            if not (root / variation / "val").is_dir():
                self._left_out[variation] = f"no {variation}/val in {root}"
                continue
            images = read_list("imagenet9_dir", str(root / variation / "val"), _group)
            self._left_out |= check_count(
                f"imagenet9_dir ({variation})", len(images), COUNT, images.where, self._partial
            )
            self._lists[variation] = images

    def run(self, runner: Runner) -> Outcome:
        """Returns the accuracy of each variation by each rule, and the gaps."""
        head = imagenet_head(runner, self._head)
        if head is None:
            return Outcome({})
        scores, meta, left_out = {}, {}, dict(self._left_out)
        for variation, images in self._lists.items():
            # Whole and as they are: a crop would cut the objects.
            embeddings, rows, missing = embed_list(
                runner, variation, images, self._partial, as_they_are(runner.image_size)
            )
            left_out |= missing
            found = nine_scores(
                head.scores(embeddings), images.labels[rows], [images.names[row] for row in rows]
            )
            found = of_images(found, images.hashes(rows))
            if "exact" not in found:
                left_out[f"{variation}, exact class"] = "a file's name has no WordNet id"
            scores |= {f"{variation}_{rule}": score for rule, score in found.items()}
            meta[variation] = len(rows)
        for rule in RULES:
            same, other = (scores.get(f"mixed_{kind}_{rule}") for kind in ("same", "rand"))
            if same and other:
                scores[f"bg_gap_{rule}"] = Score(same.value - other.value, 0.0)
        text = {"head": head.text, "images": meta, "image_size": runner.image_size}
        return Outcome(scores, text, left_out, _alarm(scores, head))


def nine_scores(scores: np.ndarray, groups: np.ndarray, names: list[str]) -> dict[str, Score]:
    """Returns the accuracies of one variation by the names of the rules.

    `map` takes the class of the highest of 1,000 scores to its group, where 630 classes have none
    and are wrong. `nine` looks at the 370 classes of the groups alone. `exact` wants the class of
    the foreground, the first WordNet id in the file's name; absent where a name has none.

    Args:
        scores: Float `[N, 1000]`.
        groups: Int `[N]`, the group of each image.
        names: Of the files.
    """
    group_of = tables.imagenet_9_groups()
    by_map = group_of[scores.argmax(axis=1)] == groups
    members = [np.flatnonzero(group_of == group) for group in range(_GROUPS)]
    by_nine = hits(class_subset(scores, members), groups)
    found = {"map": _score(by_map, 1 / _GROUPS), "nine": _score(by_nine, 1 / _GROUPS)}
    index = {one.wnid: place for place, one in enumerate(tables.imagenet_classes())}
    classes = [index.get(m[0]) if (m := _WNID.search(name)) else None for name in names]
    if None not in classes:
        found["exact"] = _score(hits(scores, np.array(classes)), 1 / CLASSES)
    return found


def _score(right: np.ndarray, chance: float) -> Score:
    return Score(float(right.mean()), chance, right.astype(np.float32))


def _alarm(scores: Mapping[str, Score], head: ImageNetHead) -> tuple[str, ...]:
    first = next((v for v in ("original", "mixed_same") if f"{v}_exact" in scores), None)
    if first is None:
        return ()
    exact = scores[f"{first}_exact"]
    return order_alarm(first, exact.value, exact.chance, head)


def _root(where: str) -> pathlib.Path:
    """The folder that has the variations: the given one, or the only folder in it."""
    root = pathlib.Path(where)
    if not root.is_dir():
        raise InputError(f"imagenet9_dir: expected a folder, received {where!r}")
    inner = [entry for entry in root.iterdir() if entry.is_dir()]
    for folder in (root, *(inner if len(inner) == 1 else ())):
        if any((folder / variation / "val").is_dir() for variation in VARIATIONS):
            return folder
    raise InputError(
        f"imagenet9_dir: expected folders such as original/val and mixed_same/val in {where}, "
        f"found {listing(sorted(os.listdir(root))) or 'nothing'}"
    )


def _group(folder: str) -> int | None:
    """The group of a class folder such as 02_wheeled vehicle."""
    number, _, rest = folder.partition("_")
    word = (rest if number.isdigit() else folder).replace("_", " ").strip().lower()
    for group, name in enumerate(tables.IMAGENET_9):
        if word and word in (name, name.split()[-1]):
            return group
    return None
