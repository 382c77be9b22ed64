"""Weighted k-nearest-neighbour classification."""

import numpy as np

TEMPERATURE = 0.07


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
