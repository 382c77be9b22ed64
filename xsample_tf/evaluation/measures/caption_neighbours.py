"""Caption cosine of nearest images."""

import numpy as np

from xsample_tf.evaluation.ranking import unit_rows


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
    gallery_captions, captions = unit_rows(gallery_captions), unit_rows(captions)
    chance = np.mean(captions, axis=0, dtype=float) @ np.mean(gallery_captions, axis=0, dtype=float)
    cosines = [np.einsum("qt,qt->q", captions, gallery_captions[column]) for column in neighbours.T]
    return float(np.mean(cosines)), float(chance)
