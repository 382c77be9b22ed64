"""Weighted k-nearest-neighbour classification."""

import numpy as np

from xsample_tf.evaluation.measures.base import MEASURES, Measure
from xsample_tf.evaluation.ranking import accuracies
from xsample_tf.evaluation.results import Figure, Score
from xsample_tf.evaluation.splits import Splits

TEMPERATURE = 0.07
# Neighbours and temperature of DINO's and of the earlier convention, by the names of their figures.
CONVENTIONS = {"knn": (20, TEMPERATURE), "knn200": (200, 0.1)}


@MEASURES.register("knn")
class KNN(Measure):
    """Accuracy of a weighted vote of the 20, and of the 200, nearest training images."""

    figures = tuple(
        Figure(
            f"{name}_top{top}",
            f"kNN top-{top} accuracy (k {k}, T {temperature:g})",
            "{:.1%}",
            brief="kNN" if (name, top) == ("knn", 1) else None,
        )
        for name, (k, temperature) in CONVENTIONS.items()
        for top in (1, 5)
    )
    needs = ("train", "labels")

    def run(self, features: Splits) -> dict[str, Score]:
        """Returns top-1 and, of more than 5 classes, top-5 accuracy.

        Those of 200 neighbours are absent where there are fewer training images.
        """
        labels, found = features.train.labels, {}
        # The most neighbours first: the others are among them.
        for name, (k, temperature) in reversed(CONVENTIONS.items()):
            if name == "knn" or k <= len(labels):
                cosines, rows = features.nearest(k)
                scores = knn_scores(cosines, labels[rows], features.classes, temperature)
                own = accuracies(name, scores, features.val.labels, labels, features.classes)
                found = own | found
        return found


def knn_scores(
    cosines: np.ndarray,
    neighbour_labels: np.ndarray,
    classes: int,
    temperature: float = TEMPERATURE,
) -> np.ndarray:
    """Class scores of the weighted kNN classifier (arXiv 1805.01978, section 3.4).

    A neighbour of cosine c votes for its label with weight exp(c / temperature).

    Args:
        cosines: Float `[Q, k]`, as `nearest` returns them.
        neighbour_labels: Int `[Q, k]`, the neighbours' labels, 0 .. classes - 1.
        classes: Number of classes C.
        temperature: Of the weights; 0.07 is the convention, with k = 20.

    Returns:
        Float32 `[Q, C]`; 0 for a class that no neighbour has.
    """
    # Relative to the nearest neighbour: the same ranking, and no overflow at any temperature.
    weights = np.exp((cosines - cosines[:, :1]) / temperature)
    scores = np.zeros((len(cosines), classes), np.float32)
    np.add.at(scores, (np.arange(len(cosines))[:, None], neighbour_labels), weights)
    return scores
