"""Accuracy of ranked scores."""

import numpy as np

from xsample_tf.evaluation.results import Score


def hits(scores: np.ndarray, labels: np.ndarray, top: int = 1) -> np.ndarray:
    """Returns bool `[N]`: whether a row's label is among its `top` highest scores.

    A tie counts against it.

    Args:
        scores: Float `[N, C]`, finite.
        labels: Int `[N]`.
        top: How many guesses a row has. Defaults to 1.
    """
    own = np.take_along_axis(scores, np.asarray(labels)[:, None], axis=1)
    return np.sum(scores >= own, axis=1) <= top


def accuracy(scores: np.ndarray, labels: np.ndarray, top: int = 1) -> float:
    """Returns the share of rows whose label is among the `top` highest scores; see `hits`."""
    return float(np.mean(hits(scores, labels, top)))


def accuracies(
    name: str, scores: np.ndarray, labels: np.ndarray, train_labels: np.ndarray, classes: int
) -> dict[str, Score]:
    """Returns top-1 accuracy, and top-5 where there are more than 5 classes.

    Chance is that of always naming the most frequent classes of the training split.

    Args:
        name: Begins the figures' names, as in `knn_top1`.
        scores: Float `[N, C]`.
        labels: Int `[N]`.
        train_labels: Int `[M]`.
        classes: Number of classes C.
    """
    frequent = np.argsort(-np.bincount(train_labels, minlength=classes), kind="stable")
    found = {}
    for top in (1, 5) if classes > 5 else (1,):
        right = hits(scores, labels, top)
        chance = float(np.isin(labels, frequent[:top]).mean())
        found[f"{name}_top{top}"] = Score(float(np.mean(right)), chance, right.astype(np.float32))
    return found
