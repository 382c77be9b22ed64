"""Accuracy of ranked scores, and unit vectors."""

import numpy as np


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Returns `features` `[N, D]` as float32 rows of length 1; a zero row stays zero."""
    features = np.asarray(features, np.float32)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(length, np.finfo(np.float32).tiny)


def accuracy(scores: np.ndarray, labels: np.ndarray, top: int = 1) -> float:
    """Share of rows whose label is among the `top` highest scores; a tie counts against it.

    Args:
        scores: Float `[N, C]`, finite.
        labels: Int `[N]`.
        top: How many guesses a row has.
    """
    own = np.take_along_axis(scores, np.asarray(labels)[:, None], axis=1)
    return float(np.mean(np.sum(scores >= own, axis=1) <= top))
