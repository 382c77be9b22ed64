"""How far two graphs agree on which images are related."""

from typing import Any

import numpy as np
from scipy.stats import rankdata

from xsample_tf.training.graph_page.similarities import Similarities

NEAREST = 10
_SIDE = 64  # Cells of the density along each axis.
_SHOWN, _EXAMPLES = 6, 3  # Anchors on which the graphs differ, and their neighbours.


def compare(first: Similarities, second: Similarities, labels: np.ndarray) -> dict[str, Any]:
    """Compares the similarities that two graphs give to the same pairs of images.

    Args:
        first: Of the sample, by one graph.
        second: By the other, with the same anchors.
        labels: int `[P]`, as for `Similarities.neighbours`.

    Returns:
        "correlation", Spearman's over each anchor's row with "mean", "low" and "high" (10 and 90 %)
        over anchors, None where one graph's rows are all constant; "overlap", the mean share of the
        10 nearest that are the same; "chance", that of random ones; "density", pairs by both
        similarities, `[64 * 64]` from the lowest, with "ranges" of both; "disagreements".
    """
    rows = first.others.astype(np.float64), second.others.astype(np.float64)
    rank = rank_correlation(*rows)
    known = rank[np.isfinite(rank)]
    nearest = min(NEAREST, rows[0].shape[1])
    shared = overlap(*rows, nearest)
    ranges = [[float(row.min()), float(row.max()) + 1e-6] for row in rows]
    density, _, _ = np.histogram2d(rows[1].ravel(), rows[0].ravel(), _SIDE, ranges[::-1])
    apart = np.argsort(rank if len(known) == len(rank) else shared, kind="stable")
    distinct = {labels[first.anchors[anchor]]: anchor for anchor in apart[::-1]}
    shown = sorted(distinct.values(), key=apart.tolist().index)[:_SHOWN]
    return {
        "correlation": _band(known) if len(known) else None,
        "overlap": float(shared.mean()),
        "nearest": nearest,
        "chance": nearest / rows[0].shape[1],
        "density": density.astype(int).ravel().tolist(),
        "side": _SIDE,
        "ranges": ranges,
        "disagreements": [
            {
                "anchor": int(first.anchors[anchor]),
                "first": _nearest(first, anchor, labels),
                "second": _nearest(second, anchor, labels),
            }
            for anchor in shown
        ],
    }


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns Spearman's correlation `[A]` of rows `[A, N]`, NaN where one is constant."""
    ranks = [rankdata(rows, axis=1) for rows in (first, second)]
    centered = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    norms = [np.sqrt(np.sum(rank**2, axis=1)) for rank in centered]
    product = norms[0] * norms[1]
    sums = np.sum(centered[0] * centered[1], axis=1)
    return np.divide(sums, product, out=np.full(len(sums), np.nan), where=product > 0)


def overlap(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """Returns the share `[A]` of the `count` nearest that rows `[A, N]` have in common.

    Images that tie for the last places are among the nearest with the same chance each.
    """
    return np.sum(_chances(first, count) * _chances(second, count), axis=1) / count


def _chances(rows: np.ndarray, count: int) -> np.ndarray:
    """Returns the chance of each image to be among the `count` nearest."""
    last = -np.partition(-rows, count - 1, axis=1)[:, count - 1 : count]
    above, ties = rows > last, rows == last
    free = count - above.sum(axis=1, keepdims=True)
    return above + ties * free / ties.sum(axis=1, keepdims=True)


def _nearest(similarities: Similarities, anchor: int, labels: np.ndarray) -> list[int]:
    return [image for image, _, _ in similarities.neighbours(anchor, labels, _EXAMPLES)]


def _band(values: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(values, [0.1, 0.9])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}
