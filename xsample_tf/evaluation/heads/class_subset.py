"""Scores of some classes or groups of classes, and images that have several right ones."""

from collections.abc import Sequence

import numpy as np

from xsample_tf.errors import InputError


def class_subset(scores: np.ndarray, groups: Sequence[int | Sequence[int]]) -> np.ndarray:
    """Returns the scores `[N, G]` of G classes or groups of classes: the highest in each.

    Restricting before the argmax is not the same as dropping predictions afterwards: an image
    whose best class is outside of all groups still gets the best of those inside.

    Args:
        scores: Float `[N, C]`.
        groups: For each of G, a class or the classes of a group, 0 .. C - 1.

    Raises:
        InputError: An empty group, or a class that has no scores.

    Example:
        >>> class_subset(np.array([[0.9, 0.1, 0.5, 0.2]]), [1, (2, 3)])
        array([[0.1, 0.5]])
    """
    groups = [np.atleast_1d(np.asarray(group, np.int64)) for group in groups]
    for group in groups:
        if not len(group) or group.min() < 0 or group.max() >= scores.shape[1]:
            raise InputError(
                f"class_subset: expected classes 0 to {scores.shape[1] - 1} in each group, "
                f"received {group.tolist()}"
            )
    result = np.empty((len(scores), len(groups)), scores.dtype)
    for place, group in enumerate(groups):
        result[:, place] = scores[:, group].max(axis=1)
    return result


def hits_any(scores: np.ndarray, labels: Sequence[Sequence[int]], top: int = 1) -> np.ndarray:
    """Returns bool `[N]`: whether one of an image's labels is among its `top` highest scores.

    A tie with another class counts against it. An image without labels is never right.

    Args:
        scores: Float `[N, C]`.
        labels: For each image the classes that are right.
        top: How many guesses an image has. Defaults to 1.
    """
    right = np.zeros(len(scores), bool)
    for row, own in enumerate(labels):
        if len(own):
            best = scores[row, list(own)].max()
            others = np.sum(scores[row] >= best) - np.sum(scores[row, list(own)] >= best)
            right[row] = others < top
    return right
