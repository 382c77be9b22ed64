"""Few-shot classification."""

from collections.abc import Callable

import numpy as np

from xsample_tf.evaluation.measures.base import MEASURES, Measure
from xsample_tf.evaluation.probes.few_shot import prototype_scores, ridge_scores, shots
from xsample_tf.evaluation.ranking import hits
from xsample_tf.evaluation.results import Figure, Score
from xsample_tf.evaluation.splits import Splits
from xsample_tf.progress import say

SHOTS = (1, 5, 10, 25)
SEEDS = (0, 1, 2)
RULES: dict[str, tuple[str, Callable[..., np.ndarray]]] = {
    "few_shot": ("least squares", ridge_scores),
    "prototype": ("nearest prototype", prototype_scores),
}


@MEASURES.register("few_shot")
class FewShot(Measure):
    """Accuracy from 1, 5, 10 and 25 images of each class, over three choices of them."""

    figures = tuple(
        figure
        for rule, (text, _) in RULES.items()
        for count in SHOTS
        for figure in (
            Figure(f"{rule}_{count}", f"{count}-shot accuracy, {text}", "{:.1%}"),
            Figure(f"{rule}_{count}_deviation", "  standard deviation over 3 choices", "{:.1%}"),
        )
    )
    needs = ("train", "labels")
    costly = True

    def run(self, features: Splits) -> dict[str, Score]:
        """Returns means over the choices; counts that a class has too few images for are absent."""
        train, val, classes = features.train, features.val, features.classes
        most = np.bincount(train.labels, minlength=classes).min()
        counts = [count for count in SHOTS if count <= most]
        if len(counts) < len(SHOTS):
            say(features.settings.log, f"few_shot: a class has only {most} training images")
        found: dict[str, list[np.ndarray]] = {}
        for seed in SEEDS:
            chosen = shots(train.labels, classes, counts, seed)
            for count, rows in zip(counts, chosen, strict=True):
                few = train.embeddings[rows], train.labels[rows], val.embeddings, classes
                for rule, (_, score) in RULES.items():
                    right = hits(score(*few), val.labels)
                    found.setdefault(f"{rule}_{count}", []).append(right)
        result = {}
        for name, right in found.items():
            each = np.mean(right, axis=0, dtype=np.float32)
            result[name] = Score(float(np.mean(each)), 1 / classes, each)
            deviation = np.std(np.mean(right, axis=1), ddof=1)
            result[f"{name}_deviation"] = Score(float(deviation))
        return result
