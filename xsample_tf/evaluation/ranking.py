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


def pair_ranks(
    texts: np.ndarray, own: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of images by their captions, and of captions by their images.

    A caption looks for its own image alone. An image looks for any of its captions; captions of its
    own do not stand in each other's way. A tie counts against the query.

    Args:
        texts: Unit vectors `[K, P]` of captions.
        own: Int `[K]`, the image of each.
        images: Unit vectors `[N, P]`.

    Returns:
        From 1: the rank of each caption's image, int64 `[K]`, and of the best caption of each
        image, int64 `[N]`; 0 of an image without captions.
    """
    text_ranks = np.empty(len(texts), np.int64)
    for first in range(0, len(texts), _TILE):
        cosines = texts[first : first + _TILE] @ images.T
        right = np.take_along_axis(cosines, own[first : first + _TILE, None], axis=1)
        text_ranks[first : first + _TILE] = np.sum(cosines >= right, axis=1)
    image_ranks = np.zeros(len(images), np.int64)
    order = np.argsort(own, kind="stable")
    begins = np.searchsorted(own[order], np.arange(len(images) + 1))
    for first in range(0, len(images), _TILE):
        cosines = images[first : first + _TILE] @ texts.T
        for row, image in enumerate(range(first, first + len(cosines))):
            captions = order[begins[image] : begins[image + 1]]
            if len(captions):
                best = cosines[row, captions].max()
                others = np.sum(cosines[row] >= best) - np.sum(cosines[row, captions] >= best)
                image_ranks[image] = 1 + others
    return text_ranks, image_ranks


def pair_recall(
    texts: np.ndarray, own: np.ndarray, images: np.ndarray
) -> tuple[dict[int, Score], dict[int, Score]]:
    """Recall@k over all captions, of images by captions and of captions by images.

    Args:
        texts: As for `pair_ranks`.
        own: As for `pair_ranks`.
        images: As for `pair_ranks`.

    Returns:
        By k of `RANKS` the share of captions that find their image, and the share of images, of
        those that have captions, that find one of theirs; chance is that of a random order.
        `per_image` are of images that have captions.
    """
    text_ranks, image_ranks = pair_ranks(texts, own, images)
    captions = np.bincount(own, minlength=len(images))
    rows = np.flatnonzero(captions)
    by_text, by_image = {}, {}
    for k in RANKS:
        # Images weigh by their captions, so that the mean over them is that over captions.
        share = np.bincount(own, text_ranks <= k, len(images))[rows] * len(rows) / len(texts)
        chance = min(1.0, k / len(images))
        by_text[k] = Score(float(np.mean(text_ranks <= k)), chance, share, rows)
        right = (image_ranks[rows] <= k).astype(np.float32)
        chance = float(np.mean(_chance(captions[rows], len(texts), k)))
        by_image[k] = Score(float(np.mean(right)), chance, right, rows)
    return by_text, by_image


def _chance(wanted: np.ndarray, images: int, k: int) -> np.ndarray:
    """The probability `[U]` that k random images of N have one of those that are wanted."""
    missed = np.ones(len(wanted))
    for place in range(min(k, images)):
        missed *= np.maximum(images - wanted - place, 0) / (images - place)
    return 1 - missed
