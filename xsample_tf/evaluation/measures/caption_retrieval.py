"""Image to caption retrieval by a linear map."""

import numpy as np

from xsample_tf.arrays import unit_rows
from xsample_tf.evaluation import linear_algebra
from xsample_tf.evaluation.measures.base import MEASURES, Measure
from xsample_tf.evaluation.results import Figure, Score
from xsample_tf.evaluation.splits import Splits

RANKS = (1, 5, 10)

# Shares of the features' mean variance.
RIDGE_PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_TILE = 4096


@MEASURES.register("recall")
class CaptionRecall(Measure):
    """Image to caption recall of a linear map from features to caption vectors."""

    figures = tuple(
        Figure(
            f"recall_at_{k}",
            f"image to caption recall@{k}",
            "{:.1%}",
            brief=f"caption recall@{k}" if k == max(RANKS) else None,
        )
        for k in RANKS
    )
    needs = ("train", "captions")

    def run(self, features: Splits) -> dict[str, Score]:
        """Returns recall at 1, 5 and 10."""
        train, val = features.train, features.val
        ranks, distinct = _caption_ranks(
            train.embeddings,
            train.captions,
            val.embeddings,
            val.captions,
            features.settings.seed,
        )
        found = {k: ranks <= k for k in RANKS}
        return {
            f"recall_at_{k}": Score(
                float(np.mean(right)), min(1.0, k / distinct), right.astype(np.float32)
            )
            for k, right in found.items()
        }


def caption_recall(
    train_features: np.ndarray,
    train_captions: np.ndarray,
    features: np.ndarray,
    captions: np.ndarray,
    ranks: tuple[int, ...] = RANKS,
    seed: int = 0,
) -> tuple[dict[int, float], int]:
    """Image to caption recall@k of a linear map from image features to caption vectors.

    Ridge regression on the training images, its penalty chosen on a held-out tenth of them by
    squared error. Each image then ranks the distinct caption vectors of the evaluated images by
    cosine with its prediction, both taken from the mean training caption. Equal vectors, as class
    names give them, count as one; a tie counts against the image.

    Args:
        train_features: `[M, D]`.
        train_captions: `[M, T]`.
        features: `[N, D]`.
        captions: `[N, T]`.
        ranks: The values of k.
        seed: Of the held-out tenth.

    Returns:
        Recall by k, in [0, 1], and the number of distinct captions U; chance is k / U.
    """
    found, distinct = _caption_ranks(train_features, train_captions, features, captions, seed)
    return {k: float(np.mean(found <= k)) for k in ranks}, distinct


def _caption_ranks(
    train_features: np.ndarray,
    train_captions: np.ndarray,
    features: np.ndarray,
    captions: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, int]:
    """The rank of each image's own caption, int `[N]` from 1, and the number of captions."""
    standardize = linear_algebra.standardization(train_features)
    train_captions = unit_rows(np.asarray(train_captions, np.float32))
    captions = unit_rows(np.asarray(captions, np.float32))
    caption_mean = np.mean(train_captions, axis=0)
    weights = _ridge(train_features, train_captions - caption_mean, standardize, seed)
    predicted = unit_rows(standardize(features) @ weights)
    gallery, own = np.unique(captions, axis=0, return_inverse=True)
    gallery = unit_rows(gallery - caption_mean)
    rank = np.empty(len(features), np.int64)
    for first in range(0, len(features), _TILE):
        cosines = predicted[first : first + _TILE] @ gallery.T
        right = np.take_along_axis(cosines, own[first : first + _TILE, None], axis=1)
        rank[first : first + _TILE] = np.sum(cosines >= right, axis=1)
    return rank, len(gallery)


def _ridge(
    features: np.ndarray,
    targets: np.ndarray,
    standardize: linear_algebra.Standardization,
    seed: int,
) -> np.ndarray:
    """Weights float32 `[D, T]` from standardised features to centred targets `[M, T]`."""
    order = np.random.default_rng(seed).permutation(len(features))
    held, kept = np.split(order, [max(1, len(order) // 10)])
    second, cross = linear_algebra.moments(features, targets, kept, standardize)
    held_features = standardize(features[held])
    errors = []
    for penalty in RIDGE_PENALTIES:
        weights = _solve_ridge(second, cross, penalty)
        errors.append(np.mean((held_features @ weights - targets[held]) ** 2))
    best = RIDGE_PENALTIES[int(np.argmin(errors))]
    second, cross = linear_algebra.moments(features, targets, order, standardize)
    return _solve_ridge(second, cross, best)


def _solve_ridge(second: np.ndarray, cross: np.ndarray, penalty: float) -> np.ndarray:
    size = len(second)
    # The floor keeps features that are all constant solvable.
    diagonal = penalty * max(np.trace(second) / size, 1e-12) * np.eye(size)
    return np.linalg.solve(second + diagonal, cross).astype(np.float32)
