"""Classifiers from a few images of each class, in closed form."""

from collections.abc import Sequence

import numpy as np

from xsample_tf.arrays import unit_rows

_PENALTY = 2.0**10  # On the sum over images, not their mean.
_BIAS = 100.0  # So large that the penalty hardly holds the bias back.
_LEAST_DEVIATION = 1e-5


def shots(labels: np.ndarray, classes: int, counts: Sequence[int], seed: int) -> list[np.ndarray]:
    """Returns for each count the rows of so many images of every class, class after class.

    The images of a smaller count are among those of a larger one.

    Args:
        labels: Int `[N]`, 0 .. classes - 1.
        classes: Number of classes.
        counts: Images of each class; a class that has fewer gives all.
        seed: Of the choice; the same as big_vision's for the same order of images.
    """
    random = np.random.default_rng(seed)
    orders = [random.permutation(np.flatnonzero(labels == one)) for one in range(classes)]
    return [np.concatenate([order[:count] for order in orders]) for count in counts]


def ridge_scores(
    features: np.ndarray, labels: np.ndarray, queries: np.ndarray, classes: int
) -> np.ndarray:
    """Class scores of big_vision's few-shot rule (`fewshot_lsr`): least squares on +1 and -1.

    Features are standardised by the few images themselves, a constant 100 is the bias, and the
    squared weights cost 2^10. Solved over the features where there are fewer of them than images,
    else over the images, in float64.

    Args:
        features: Float `[M, D]`, of the few images.
        labels: Int `[M]`.
        queries: Float `[Q, D]`.
        classes: Number of classes C.

    Returns:
        Float64 `[Q, C]`.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = features.std(axis=0, dtype=np.float64) + _LEAST_DEVIATION

    def prepared(rows: np.ndarray) -> np.ndarray:
        return np.pad((rows - mean) / deviation, ((0, 0), (0, 1)), constant_values=_BIAS)

    x, y = prepared(features), 2.0 * np.eye(classes)[labels] - 1
    if len(x) >= x.shape[1]:
        weights = np.linalg.solve(x.T @ x + _PENALTY * np.eye(x.shape[1]), x.T @ y)
    else:
        weights = x.T @ np.linalg.solve(x @ x.T + _PENALTY * np.eye(len(x)), y)
    return prepared(queries) @ weights


def prototype_scores(
    features: np.ndarray, labels: np.ndarray, queries: np.ndarray, classes: int
) -> np.ndarray:
    """Cosines `[Q, C]` with each class's prototype, the mean of its images' unit vectors.

    A class without an image scores -inf.

    Args:
        features: Float `[M, D]`, of the few images.
        labels: Int `[M]`.
        queries: Float `[Q, D]`.
        classes: Number of classes C.
    """
    sums = np.zeros((classes, features.shape[1]))
    np.add.at(sums, labels, unit_rows(features.astype(np.float64)))
    scores = unit_rows(queries.astype(np.float64)) @ unit_rows(sums).T
    scores[:, np.bincount(labels, minlength=classes) == 0] = -np.inf
    return scores
