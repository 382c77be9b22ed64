"""Generated scenes: object, attribute and background, and the first in conflict with the last.

The stand-in for ImageNet-9 and MIT-States where no data is at hand.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from xsample_tf.data import scenes
from xsample_tf.evaluation.images import as_they_are
from xsample_tf.evaluation.probes.logistic_regression import fit_linear_probe
from xsample_tf.evaluation.ranking import accuracies, hits
from xsample_tf.evaluation.results import Figure, Outcome, Score, of_images
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.splits import Split
from xsample_tf.evaluation.tasks.base import TASKS, Task
from xsample_tf.registry import Option

WHAT = {
    "object": scenes.CLASS_NAMES,
    "colour": tuple(scenes.COLOURS),
    "background": scenes.BACKGROUND_NAMES,
}
_TIED = 0.9  # How often the background is the object's own where the gap's classifier is fitted.
_SEED = 20_000  # Apart from the scenes that people train on.


@TASKS.register(
    "scenes",
    options=[
        Option("scenes_count", 2000, "Scenes to fit on, and as many to measure.", minimum=100)
    ],
)
class Scenes(Task):
    """Generated scenes: linear accuracy of object, colour, background, and of odd backgrounds."""

    figures = (
        *(Figure(f"{what}_top1", f"{what}, linear top-1 accuracy", "{:.1%}") for what in WHAT),
        Figure("usual_top1", "object before its usual background", "{:.1%}"),
        Figure("odd_top1", "object before another background", "{:.1%}"),
        Figure("bg_gap", "  gap between the two", "{:+.1%}"),
    )

    def __init__(self, scenes_count: int):
        self._count = scenes_count
        self._labels: dict[str, dict[str, np.ndarray]] = {}

    def run(self, runner: Runner) -> Outcome:
        """Returns accuracies of classifiers that are fitted on scenes of their own."""
        found = {
            name: self._embed(runner, name, split, tied, seed)
            for name, split, tied, seed in (
                ("train", "train", 0.0, 0),
                ("test", "test", 0.0, 0),
                ("tied", "train", _TIED, 1),
                ("usual", "train", 1.0, 2),
            )
        }
        scores, seed = {}, runner.settings.seed
        for what, names in WHAT.items():
            (train, own), (test, truth) = (
                (part.embeddings, labels[what]) for part, labels in (found["train"], found["test"])
            )
            probe = fit_linear_probe(train, own, len(names), seed=seed)
            scored = accuracies(what, probe.scores(test), truth, own, len(names))
            scored = of_images(scored, found["test"][0].hashes)
            scores[f"{what}_top1"] = scored[f"{what}_top1"]
        tied, labels = found["tied"]
        probe = fit_linear_probe(
            tied.embeddings, labels["object"], len(scenes.CLASS_NAMES), seed=seed
        )
        for name, part, keep in (
            ("usual_top1", found["usual"], slice(None)),
            ("odd_top1", found["test"], _is_odd(found["test"][1])),
        ):
            split, labels = part
            right = hits(probe.scores(split.embeddings), labels["object"])[keep]
            chance = 1 / len(scenes.CLASS_NAMES)
            scores[name] = Score(
                float(right.mean()), chance, right.astype(np.float32), hashes=split.hashes[keep]
            )
        gap = scores["usual_top1"].value - scores["odd_top1"].value
        scores["bg_gap"] = Score(gap, 0.0)
        meta = {"scenes": self._count, "tied": _TIED, "image_size": runner.image_size}
        return Outcome(scores, meta)

    def _embed(
        self, runner: Runner, name: str, split: str, tied: float, seed: int
    ) -> tuple[Split, dict[str, np.ndarray]]:
        """Features of scenes, and what they show by `WHAT`."""
        size = min(max(runner.image_size, scenes.MINIMUM_SIZE), scenes.MAXIMUM_SIZE)
        # Drawn for the first encoder; the others get the same images.
        labels = self._labels.setdefault(
            name, {what: np.empty(self._count, np.int64) for what in WHAT}
        )

        def draw() -> Iterator[dict[str, np.ndarray]]:
            drawn = scenes.generate(self._count, _SEED + seed, size, split, tied)
            for row, scene in enumerate(drawn):
                for what, names in WHAT.items():
                    labels[what][row] = names.index(getattr(scene, what))
                yield {"image": scene.image.astype(np.float32) / 255}

        spec = {"image": tf.TensorSpec([size, size, 3], tf.float32)}
        images = tf.data.Dataset.from_generator(draw, output_signature=spec)
        if size != runner.image_size:
            view = as_they_are(runner.image_size)
            images = images.map(lambda one: {"image": view(one["image"])})
        return runner.embed(f"scenes {name}", images), labels


def _is_odd(labels: dict[str, np.ndarray]) -> np.ndarray:
    """Which scenes have another background than the object's own."""
    return labels["background"] != labels["object"] % len(scenes.BACKGROUND_NAMES)
