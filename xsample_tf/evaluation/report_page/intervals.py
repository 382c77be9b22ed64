"""Bootstrap intervals of many figures at a time, from the same draws of images."""

import numpy as np

from xsample_tf.evaluation.verdict import DRAWS, Interval

_NUMBERS_AT_A_TIME = 1 << 22


class Resampled:
    """Means of figures over samples of images with replacement.

    All figures have the same draws, which are those of `paired_interval`: a difference of two
    figures has its very interval, at the price of a product of matrices for all of them.

    Args:
        scores: Float `[N, F]`, the scores of N images for F figures.
        draws: Number of samples. Defaults to 2,000.
        seed: Seed of the draws. Defaults to 0.
    """

    def __init__(self, scores: np.ndarray, draws: int = DRAWS, seed: int = 0):
        scores = np.asarray(scores, float)
        count, generator = len(scores), np.random.default_rng(seed)
        self._means, self._images = scores.mean(axis=0), count
        self._samples = np.empty((draws, scores.shape[1]))
        at_a_time = max(1, _NUMBERS_AT_A_TIME // count)
        for first in range(0, draws, at_a_time):
            rows = generator.integers(count, size=(min(at_a_time, draws - first), count))
            places = rows + count * np.arange(len(rows))[:, None]
            times = np.bincount(places.ravel(), minlength=rows.size).reshape(rows.shape)
            self._samples[first : first + len(rows)] = times @ scores / count

    def interval(self, figure: int, other: int | None = None) -> Interval:
        """Returns a figure's 95 % interval, or that of its difference to another figure.

        Args:
            figure: Its column.
            other: The column of what is taken from it. Defaults to None, nothing.
        """
        mean, samples = self._means[figure], self._samples[:, figure]
        if other is not None:
            mean, samples = mean - self._means[other], samples - self._samples[:, other]
        low, high = np.percentile(samples, [2.5, 97.5])
        return Interval(float(mean), float(low), float(high), self._images)
