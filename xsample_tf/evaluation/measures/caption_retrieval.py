"""Retrieval by a linear map between images and captions, in both directions."""

import numpy as np

from xsample_tf.arrays import unit_rows
from xsample_tf.evaluation.caption_map import CaptionMap, fit_caption_map
from xsample_tf.evaluation.measures.base import MEASURES, Measure
from xsample_tf.evaluation.ranking import RANKS, text_recall
from xsample_tf.evaluation.results import Figure, Score
from xsample_tf.evaluation.splits import Splits

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
        val = features.val
        ranks, distinct = _caption_ranks(features.caption_map, val.embeddings, val.captions)
        found = {k: ranks <= k for k in RANKS}
        return {
            f"recall_at_{k}": Score(
                float(np.mean(right)), min(1.0, k / distinct), right.astype(np.float32)
            )
            for k, right in found.items()
        }


@MEASURES.register("text_recall")
class TextRecall(Measure):
    """Text to image recall of the same map: each caption looks for its image."""

    figures = tuple(
        Figure(f"text_recall_at_{k}", f"text to image recall@{k}", "{:.1%}") for k in RANKS
    )
    needs = ("train", "captions")

    def run(self, features: Splits) -> dict[str, Score]:
        """Returns recall at 1, 5 and 10."""
        caption_map, val = features.caption_map, features.val
        found = text_recall(
            caption_map.of_captions(val.queries.content),
            val.queries.images,
            caption_map.of_images(val.embeddings),
        )
        return {f"text_recall_at_{k}": score for k, score in found.items()}


def caption_recall(
    train_features: np.ndarray,
    train_captions: np.ndarray,
    features: np.ndarray,
    captions: np.ndarray,
    ranks: tuple[int, ...] = RANKS,
    seed: int = 0,
) -> tuple[dict[int, float], int]:
    """Image to caption recall@k of a linear map from image features to caption vectors.

    The map is `fit_caption_map`'s, of the training images. Each image then ranks the distinct
    caption vectors of the evaluated images by cosine with its prediction, both taken from the mean
    training caption. Equal vectors, as class names give them, count as one; a tie counts against
    the image.

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
    caption_map = fit_caption_map(train_features, train_captions, seed)
    found, distinct = _caption_ranks(caption_map, features, captions)
    return {k: float(np.mean(found <= k)) for k in ranks}, distinct


def _caption_ranks(
    caption_map: CaptionMap, features: np.ndarray, captions: np.ndarray
) -> tuple[np.ndarray, int]:
    """The rank of each image's own caption, int `[N]` from 1, and the number of captions."""
    predicted = caption_map.of_images(features)
    gallery, own = np.unique(
        unit_rows(np.asarray(captions, np.float32)), axis=0, return_inverse=True
    )
    gallery = caption_map.of_captions(gallery)
    rank = np.empty(len(features), np.int64)
    for first in range(0, len(features), _TILE):
        cosines = predicted[first : first + _TILE] @ gallery.T
        right = np.take_along_axis(cosines, own[first : first + _TILE, None], axis=1)
        rank[first : first + _TILE] = np.sum(cosines >= right, axis=1)
    return rank, len(gallery)
