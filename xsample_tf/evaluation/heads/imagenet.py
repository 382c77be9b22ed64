"""The 1,000 scores of ImageNet's classes that ImageNet, ImageNet-9 and ObjectNet are scored by."""

import dataclasses
from collections.abc import Callable, Collection, Sequence

import numpy as np

from xsample_tf.errors import InputError
from xsample_tf.evaluation import tables
from xsample_tf.evaluation.heads.zero_shot import (
    check_texts,
    zero_shot_scores,
    zero_shot_weights,
)
from xsample_tf.evaluation.ranking import accuracy
from xsample_tf.evaluation.runner import Runner
from xsample_tf.graphs.parent_list import read_taxonomy
from xsample_tf.registry import Option

CLASSES = 1000
HEAD = Option(
    "imagenet_head",
    "linear",
    "Where the scores of ImageNet's 1,000 classes come from: linear, the probe that L-BFGS fits on "
    "--data_dir; sgd, the one by gradient descent; output, the model's own 1,000 outputs; "
    "zero_shot, its text tower.",
    choices=("linear", "sgd", "output", "zero_shot"),
)
_TEMPLATES = "imagenet1k"


@dataclasses.dataclass(frozen=True)
class ImageNetHead:
    """Gives scores of ImageNet's classes.

    Attributes:
        scores: Of embeddings `[N, D]`: float `[N, 1000]`, in the order of the WordNet ids, -inf for
            a class that is not known.
        known: Bool `[1000]`, which classes are known.
        text: What it is, for results.
        reference: Its accuracy on the data that it comes from, where that is known.
    """

    scores: Callable[[np.ndarray], np.ndarray]
    known: np.ndarray
    text: str
    reference: float | None = None


def imagenet_places(class_names: Sequence[str]) -> np.ndarray:
    """Returns where each of ImageNet's 1,000 classes stands among class names, int `[1000]`.

    Names are WordNet ids, WordNet's words or those of prompts. The place is -1 for a class that is
    not there. Of words that two classes have, the place in the list decides, as for the two cranes.

    Example:
        >>> imagenet_places(["n01443537", "tench"])[:3]
        array([ 1,  0, -1])
    """
    classes = tables.imagenet_classes()
    wnids = {one.wnid: index for index, one in enumerate(classes)}
    prompts: dict[str, list[int]] = {}
    for index, one in enumerate(classes):
        prompts.setdefault(one.name.lower(), []).append(index)
    nodes = read_taxonomy("imagenet").nodes_of(tuple(class_names))
    places = np.full(CLASSES, -1)
    for place, (name, node) in enumerate(zip(class_names, nodes, strict=True)):
        index = wnids.get(node)
        if index is None:
            found = prompts.get(name.replace("_", " ").strip().lower(), [])
            index = place if place in found else found[0] if len(found) == 1 else None
        if index is not None:
            places[index] = place
    return places


def check_head(runner: Runner, choice: str, needed: Collection[int], partial: bool) -> None:
    """Looks at what a head would be made of, before any image is read.

    Args:
        runner: Of one encoder.
        choice: A choice of `HEAD`.
        needed: The classes that scores are needed of.
        partial: Whether some of them may be missing.

    Raises:
        InputError: Classes of the data directory that are not those that are needed, or no text
            tower.
    """
    if choice == "zero_shot":
        check_texts(runner, "imagenet_head=zero_shot")
    if choice not in ("linear", "sgd"):
        return
    names = runner.dataset.class_names or ()
    known = imagenet_places(names) >= 0
    found = int(known[list(needed)].sum())
    if found < len(needed) and not (partial and found > 1):
        shown = f", such as {names[0]!r}" if names else ""
        raise InputError(
            f"data_dir: expected training images of the {len(needed)} ImageNet classes that are "
            f"scored, received {found} of them among {len(names)} classes{shown} in "
            f"{runner.dataset.directory}; "
            + (
                "--allow_partial scores those there are"
                if found > 1
                else "--imagenet_head=output takes a classifier's own scores"
            )
        )


def imagenet_head(runner: Runner, choice: str) -> ImageNetHead | None:
    """Returns a head, which is fitted once for all tasks of an encoder.

    None for an untrained encoder beside a text tower, which has nothing to do with it.

    Raises:
        InputError: As `check_head`; or an encoder whose outputs are not 1,000 scores.
    """
    if choice == "zero_shot" and runner.embed_texts is None:
        return None
    return runner.once(f"imagenet_head {choice}", lambda: _make(runner, choice))


def _make(runner: Runner, choice: str) -> ImageNetHead:
    everything = np.ones(CLASSES, bool)
    if choice == "output":
        return ImageNetHead(_own_scores, everything, "the model's own 1,000 outputs")
    if choice == "zero_shot":
        names = [one.name for one in tables.imagenet_classes()]
        weights = zero_shot_weights(
            runner.embed_texts, names, tables.prompt_templates()[_TEMPLATES]
        )
        return ImageNetHead(
            lambda embeddings: zero_shot_scores(embeddings, weights),
            everything,
            "zero-shot, 80 templates",
        )
    labelled = runner.labelled
    head = labelled.head if choice == "linear" else labelled.sgd_head
    places = imagenet_places(runner.dataset.class_names)
    known = places >= 0

    def scores(embeddings: np.ndarray) -> np.ndarray:
        found = np.full((len(embeddings), CLASSES), -np.inf, np.float32)
        found[:, known] = head.scores(embeddings)[:, places[known]]
        return found

    reference = accuracy(head.scores(labelled.val.embeddings), labelled.val.labels)
    text = f"{head.text} on {len(labelled.train):,} images of {labelled.classes:,} classes"
    return ImageNetHead(scores, known, text, reference)


def _own_scores(embeddings: np.ndarray) -> np.ndarray:
    if embeddings.shape[1] != CLASSES:
        raise InputError(
            f"imagenet_head: expected a model with {CLASSES} outputs, received vectors of "
            f"{embeddings.shape[1]}; --output_name chooses an output, --imagenet_head=linear fits "
            "a classifier on --data_dir"
        )
    return embeddings


def order_alarm(name: str, value: float, chance: float, head: ImageNetHead) -> tuple[str, ...]:
    """Returns a warning where accuracy is as low as that of classes in another order.

    Args:
        name: What was scored.
        value: The accuracy.
        chance: That of guessing.
        head: Whose reference tells a bad encoder from a wrong order.
    """
    able = head.reference is None or head.reference > 10 * max(chance, 1 / CLASSES)
    if value >= 3 * chance or not able:
        return ()
    why = "" if head.reference is None else f", where {head.reference:.1%} are right on --data_dir"
    return (f"{name}: {value:.2%} is near guessing{why}: are the classes in ImageNet's order?",)
