"""Accuracy of ranked scores, and recall of ranked images."""

import numpy as np

from xsample_tf.evaluation.results import Score

RANKS = (1, 5, 10)  # The k of recall@k.
_TILE = 1024  # Queries at a time.


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


def text_recall(queries: np.ndarray, own: np.ndarray, images: np.ndarray) -> dict[int, Score]:
    """Recall@k of images by their captions, for each of `RANKS`.

    A query finds its image where that is among the k images of the highest cosine. Equal queries,
    as class names give them, look for any of their images. A tie counts against the query.

    Args:
        queries: Unit vectors `[K, P]` of captions.
        own: Int `[K]`, the image of each.
        images: Unit vectors `[N, P]`.

    Returns:
        By k: the mean over images that have captions of the share of their captions that find an
        image, in [0, 1], and the same of images in random order as chance. `per_image` is None
        where an image has no caption.
    """
    distinct, which = np.unique(queries, axis=0, return_inverse=True)
    wanted = [[] for _ in distinct]
    for query, image in zip(which, own, strict=True):
        wanted[query].append(image)
    rank = np.empty(len(distinct), np.int64)
    for first in range(0, len(distinct), _TILE):
        cosines = distinct[first : first + _TILE] @ images.T
        for row, right in enumerate(wanted[first : first + _TILE]):
            best = cosines[row, right].max()
            wrong = np.sum(cosines[row] >= best) - np.sum(cosines[row, np.unique(right)] >= best)
            rank[first + row] = 1 + wrong
    captions = np.bincount(own, minlength=len(images))
    shared = np.array([len(np.unique(right)) for right in wanted])

    def per_image(values: np.ndarray) -> np.ndarray:
        return np.bincount(own, values[which], len(images))[captions > 0] / captions[captions > 0]

    found = {}
    for k in RANKS:
        right, chance = per_image(rank <= k), per_image(_chance(shared, len(images), k))
        each = right if captions.all() else None
        found[k] = Score(float(np.mean(right)), float(np.mean(chance)), each)
    return found


def _chance(wanted: np.ndarray, images: int, k: int) -> np.ndarray:
    """The probability `[U]` that k random images of N have one of those that are wanted."""
    missed = np.ones(len(wanted))
    for place in range(min(k, images)):
        missed *= np.maximum(images - wanted - place, 0) / (images - place)
    return 1 - missed
