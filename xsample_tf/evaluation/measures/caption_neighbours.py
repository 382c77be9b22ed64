"""Caption cosine of nearest images."""

import numpy as np

from xsample_tf.arrays import unit_rows
from xsample_tf.evaluation.measures.base import MEASURES, Measure
from xsample_tf.evaluation.results import Figure, Score
from xsample_tf.evaluation.splits import Splits

# A ratio to nearly nothing says nothing; centred vectors have such a mean.
_LEAST_CHANCE = 0.01


@MEASURES.register("caption_cosine")
class CaptionCosine(Measure):
    """Mean caption cosine of an image and its nearest training images."""

    figures = (
        Figure("caption_cosine", "caption cosine of nearest images"),
        Figure(
            "caption_cosine_ratio",
            "  over that of random pairs",
            "{:.2f}",
            brief="caption cosine ratio",
        ),
    )
    needs = ("train", "captions")

    def run(self, features: Splits) -> dict[str, Score]:
        """Returns the cosine, and its ratio to that of random pairs."""
        _, rows = features.neighbours
        captions = features.val.captions
        cosines, chance = _neighbour_cosines(rows, features.train.captions, captions)
        value = float(np.mean(cosines))
        ratio = value / chance if chance > _LEAST_CHANCE else None
        return {
            "caption_cosine": Score(value, chance, np.mean(cosines, axis=0)),
            "caption_cosine_ratio": Score(ratio, None if ratio is None else 1.0),
        }


def caption_cosine(
    neighbours: np.ndarray, gallery_captions: np.ndarray, captions: np.ndarray
) -> tuple[float, float]:
    """Mean caption cosine between images and their neighbours, and between all pairs.

    Args:
        neighbours: Int `[Q, k]`, gallery rows of each image's nearest images.
        gallery_captions: Caption vectors of the gallery, `[N, T]`.
        captions: Caption vectors of the images, `[Q, T]`.

    Returns:
        Mean over neighbours, and what k random gallery images would give (the exact expectation).
        An encoder that groups images as their captions do has the first well above the second.
    """
    cosines, chance = _neighbour_cosines(neighbours, gallery_captions, captions)
    return float(np.mean(cosines)), chance


def _neighbour_cosines(
    neighbours: np.ndarray, gallery_captions: np.ndarray, captions: np.ndarray
) -> tuple[np.ndarray, float]:
    """Caption cosines `[k, Q]` of images and their neighbours, and the mean of all pairs."""
    gallery_captions = unit_rows(np.asarray(gallery_captions, np.float32))
    captions = unit_rows(np.asarray(captions, np.float32))
    chance = np.mean(captions, axis=0, dtype=float) @ np.mean(gallery_captions, axis=0, dtype=float)
    cosines = [np.einsum("qt,qt->q", captions, gallery_captions[column]) for column in neighbours.T]
    return np.stack(cosines), float(chance)
