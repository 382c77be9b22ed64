"""Whether training helped: one measure with an interval, and a warning of collapse."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from xsample_tf.evaluation.results import BASELINES, UNTRAINED, Figure, Score

# The measures that may decide, the first that there is. More is better in each, and each has a
# score for every image. benchmarks/deciding_measure.py shows which of those without labels orders
# checkpoints as the linear probe does.
DECIDING = ("caption_cosine", "knn_top1")
DRAWS = 2000
_RANK = "rankme"
# Of the baseline's effective rank: below it the encoder has lost much, and next to all of it.
_MUCH, _ALL = 0.5, 0.1
_NUMBERS_AT_A_TIME = 1 << 22


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval.

    Attributes:
        mean: Mean over the images.
        low: The 2.5th percentile of the mean over samples of as many images with replacement.
        high: The 97.5th.
        images: Number of images.
    """

    mean: float
    low: float
    high: float
    images: int


class Resampled:
    """Means of figures over samples of images with replacement.

    All figures have the same draws, at the price of a product of matrices for all of them, and so
    has the difference of two: what makes an image hard for both cancels out.

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


def paired_interval(
    scores: np.ndarray, baseline: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """Bootstraps the mean difference of two encoders' scores on the same images.

    Pairs are drawn, so what makes an image hard for both encoders cancels out.

    Args:
        scores: Float `[N]`, one encoder's scores by image.
        baseline: Float `[N]`, the other's, of the same images.
        draws: Number of samples of N images with replacement. Defaults to 2,000.
        seed: Seed of the draws. Defaults to 0.

    Returns:
        The mean of `scores - baseline` with its 95 % percentile interval.

    Example:
        >>> paired_interval(np.array([1.0, 0, 1, 1]), np.zeros(4)).mean
        0.75
    """
    return Resampled(np.stack([scores, baseline], axis=1), draws, seed).interval(0, 1)


def deciding(values: Mapping[str, float | None]) -> tuple[str, float] | None:
    """Returns the deciding measure among the values of an encoder, with its value, if any."""
    for name in DECIDING:
        value = values.get(name)
        if value is not None:
            return name, value
    return None


def decide(
    scores: Mapping[str, Mapping[str, Score]], known: Mapping[str, Figure]
) -> dict[str, Any] | None:
    """Compares the trained encoder with its baseline by the first deciding measure there is.

    Args:
        scores: By encoder, then by figure, as in `Evaluation`.
        known: Figures by name.

    Returns:
        "figure", "difference", "low", "high" and "images" as numbers, and "sentence", as it is
        shown; None where there is no baseline or no deciding measure.
    """
    baseline = next((name for name in BASELINES if name in scores), None)
    if baseline is None:
        return None
    for name in DECIDING:
        pair = scores["trained"].get(name), scores[baseline].get(name)
        if any(one is None or one.per_image is None for one in pair):
            continue
        interval = paired_interval(pair[0].per_image, pair[1].per_image)
        return {
            "figure": name,
            "difference": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "images": interval.images,
            "sentence": sentence(known[name], interval, _named(baseline)),
        }
    return None


def collapse(
    scores: Mapping[str, Mapping[str, Score]], verdict: Mapping[str, Any] | None
) -> str | None:
    """Returns a warning where the embeddings of different images have become alike.

    That is where the effective rank fell below half of the baseline's, and the encoder is not
    better than it. A low rank by itself is none: training on few classes leaves no more than there
    are, and serves them well. Without a deciding measure the rank has to fall below a tenth, or to
    a line.

    Args:
        scores: By encoder, then by figure, as in `Evaluation`.
        verdict: As `decide` gives it.
    """
    baseline = next((name for name in BASELINES if name in scores), None)
    pair = [scores[name].get(_RANK) for name in ("trained", baseline) if name is not None]
    if len(pair) < 2 or any(one is None or one.value is None for one in pair):
        return None
    rank, before = (one.value for one in pair)
    if verdict is None:
        fallen = rank < _ALL * before or (rank < 2 and rank < _MUCH * before)
    else:
        fallen = rank < _MUCH * before and verdict["low"] <= 0
    if not fallen:
        return None
    judged = "" if verdict is None else ", and the encoder is not better"
    return (
        f"collapse: the effective rank is {rank:.1f}, that of the {BASELINES[baseline]} "
        f"{'encoder ' * (baseline == UNTRAINED)}{before:.1f}{judged}: different images have become "
        "alike; look at the target (tools/inspect_graph.py), lower learning_rate, or raise "
        "batch_size"
    )


def _named(baseline: str) -> str:
    return "the untrained encoder" if baseline == "untrained" else f"the {BASELINES[baseline]}"


def sentence(figure: Figure, interval: Interval, to: str) -> str:
    """Says what an interval allows.

    Args:
        figure: What was compared; more of it is better.
        interval: Of the difference.
        to: What it was compared with.
    """
    if interval.low > 0:
        begin = f"better than {to}"
    elif interval.high < 0:
        begin = f"worse than {to}"
    else:
        begin = f"no clear difference from {to}"
    percent = "%" in figure.format
    scale, unit = (100, " points") if percent else (1, "")
    digits = 1 if percent else 3
    half = (interval.high - interval.low) / 2 * scale
    return (
        f"{begin}: {figure.title.strip()} {interval.mean * scale:+.{digits}f} ± "
        f"{half:.{digits}f}{unit} (95 % interval, paired bootstrap over {interval.images:,} images)"
    )
