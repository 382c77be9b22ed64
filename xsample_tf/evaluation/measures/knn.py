"""Weighted k-nearest-neighbour classification."""

import numpy as np

from xsample_tf.evaluation.measures.base import MEASURES, Measure
from xsample_tf.evaluation.ranking import accuracies
from xsample_tf.evaluation.results import Figure, Score
from xsample_tf.evaluation.splits import Splits

TEMPERATURE = 0.07


@MEASURES.register("knn")
class KNN(Measure):
    """Accuracy of a weighted vote of the 20 nearest training images."""

    figures = (
        Figure("knn_top1", "kNN top-1 accuracy", "{:.1%}", brief="kNN"),
        Figure("knn_top5", "kNN top-5 accuracy", "{:.1%}"),
    )
    needs = ("train", "labels")

    def run(self, features: Splits) -> dict[str, Score]:
        """Returns top-1 and, of more than 5 classes, top-5 accuracy."""
        cosines, rows = features.neighbours
        labels = features.train.labels
        scores = knn_scores(cosines, labels[rows], features.classes)
        return accuracies("knn", scores, features.val.labels, labels, features.classes)


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
