"""The similarities of a sample, measured by a graph and packed for the page."""

import dataclasses

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from xsample_tf.graphs.base import TIE
from xsample_tf.training.graph_page.variants import Variant

_BLOCK = 2**24  # Similarities that are held at a time.
# Of each anchor, so many of the largest similarities are kept as they are, and the others as counts
# and means of bins of this width. The mean makes the error of a bin of the second order.
_EXACT, _BINS_PER_UNIT = 48, 128
_HISTOGRAM = 100  # Bins over [-1, 1].


@dataclasses.dataclass(frozen=True)
class Similarities:
    """What is known of the similarities of P images.

    Attributes:
        anchors: Numbers of A of the images.
        rows: float32 `[A, P]`, the anchors' similarities to all images, to themselves 1.
        means: float32 `[P]`, each image's mean similarity to the others.
        largest: float32 `[P]`, each image's similarity to the most similar other one.
    """

    anchors: np.ndarray
    rows: np.ndarray
    means: np.ndarray
    largest: np.ndarray

    @property
    def others(self) -> np.ndarray:
        """The anchors' similarities to the other images, float32 `[A, P - 1]`."""
        count, images = self.rows.shape
        others = np.ones([count, images], bool)
        others[np.arange(count), self.anchors] = False
        return self.rows[others].reshape(count, images - 1)

    def histogram(self) -> np.ndarray:
        """Returns the number of pairs in each of 100 bins over [-1, 1]."""
        values = np.clip(self.others, -1, 1)
        return np.histogram(values, _HISTOGRAM, (-1, 1))[0]

    def pairs(self) -> np.ndarray:
        """Returns the anchors' similarities to each other, float32 `[A, A]`, symmetric."""
        square = self.rows[:, self.anchors]
        return (square + square.T) / 2

    def order(self) -> np.ndarray:
        """Returns the anchors' numbers int32 `[A]` in the order of a clustering, like by like."""
        distance = 1 - self.pairs().astype(np.float64)
        np.fill_diagonal(distance, 0)
        if len(distance) < 3:
            return np.arange(len(distance), dtype=np.int32)
        joined = linkage(squareform(np.maximum(distance, 0)), "average", optimal_ordering=True)
        return leaves_list(joined).astype(np.int32)

    def neighbours(
        self, anchor: int, labels: np.ndarray, count: int
    ) -> list[tuple[int, float, int]]:
        """Returns an anchor's nearest images of different labels.

        Args:
            anchor: Its place among the anchors.
            labels: int `[P]`; images of equal labels and similarities count as one.
            count: How many, at most.

        Returns:
            (image, similarity, how many images it stands for) each, the nearest first.
        """
        row = self.rows[anchor]
        rounded = np.round(row, 4)
        own = self.anchors[anchor]
        found: dict[tuple[int, float], int] = {}
        for image in np.argsort(-row, kind="stable"):
            if image != own:
                found.setdefault((labels[image], rounded[image]), int(image))
            if len(found) == count:
                break
        alike = [(labels == label) & (rounded == value) for label, value in found]
        counts = [int(same.sum() - same[own]) for same in alike]
        return [
            (image, float(row[image]), number)
            for image, number in zip(found.values(), counts, strict=True)
        ]


def measure(variant: Variant, anchors: np.ndarray) -> Similarities:
    """Measures the similarities of all pairs of images of the sample, by blocks of rows."""
    images = len(variant.texts["key"])
    rows = variant.similarity(anchors)
    rows[np.arange(len(anchors)), anchors] = 1.0
    means, largest = np.zeros(images, np.float32), np.zeros(images, np.float32)
    step = max(1, _BLOCK // images)
    for begin in range(0, images, step):
        block = np.arange(begin, min(begin + step, images))
        similarity = variant.similarity(block)
        own = np.arange(len(block)), block
        similarity[own] = 0
        means[block] = similarity.sum(axis=1, dtype=np.float64) / (images - 1)
        similarity[own] = -2
        largest[block] = similarity.max(axis=1)
    return Similarities(anchors, rows, means, largest)


def group(others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Packs each anchor's similarities to other images, for `target.js`.

    Args:
        others: float32 `[A, N]`, N at most 65,535.

    Returns:
        Values float32 `[G]`, how many images have each uint16 `[G]`, and where each anchor's
        groups end int32 `[A]`.
    """
    parts = [_groups(row) for row in others]
    values = np.concatenate([values for values, _ in parts]).astype(np.float32)
    counts = np.concatenate([counts for _, counts in parts]).astype(np.uint16)
    return values, counts, np.cumsum([len(values) for values, _ in parts]).astype(np.int32)


def _groups(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the groups of one anchor: the largest one by one, the others by bins."""
    ordered = np.sort(similarity)[::-1]
    exact, counts = np.unique(ordered[:_EXACT], return_counts=True)
    rest = ordered[_EXACT:].astype(np.float64)
    # Those that share the target at temperature 0 are apart from those that are only near.
    bins = np.where(rest >= 1 - TIE, 2 * _BINS_PER_UNIT, np.floor(rest * _BINS_PER_UNIT))
    _, place, sizes = np.unique(bins, return_inverse=True, return_counts=True)
    means = np.bincount(place, rest, len(sizes)) / sizes
    return np.concatenate([exact[::-1], means[::-1]]), np.concatenate([counts[::-1], sizes[::-1]])
