"""k-means on unit vectors, and how much clusters and classes tell of each other."""

import numpy as np

from xsample_tf.arrays import unit_rows


def k_means(
    features: np.ndarray, clusters: int, seed: int = 0, iterations: int = 100, restarts: int = 3
) -> np.ndarray:
    """Returns the cluster of each row, int `[N]`, by Lloyd's algorithm from k-means++.

    Of several starts the one with the smallest sum of squared distances. Rows are made unit
    vectors first; an empty cluster takes the row that is farthest from its own.

    Args:
        features: Float `[N, D]`.
        clusters: How many, at most N.
        seed: Of the starts. Defaults to 0.
        iterations: At most so many rounds of each start. Defaults to 100.
        restarts: Number of starts. Defaults to 3.
    """
    rows = unit_rows(np.asarray(features, np.float32))
    random = np.random.default_rng(seed)
    best, smallest = None, np.inf
    for _ in range(restarts):
        centers, cluster = _spread(rows, clusters, random), np.full(len(rows), -1)
        for _ in range(iterations + 1):
            distance = _squared_distances(rows, centers)
            before, cluster = cluster, distance.argmin(axis=1)
            nearest = distance[np.arange(len(rows)), cluster]
            if (cluster == before).all():
                break
            centers = _means(rows, cluster, nearest, centers)
        if nearest.sum() < smallest:
            best, smallest = cluster, nearest.sum()
    return best


def normalized_mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """Mutual information of two labellings over the mean of their entropies, 0 to 1.

    Two labellings of one group each say all of each other: 1.

    Args:
        first: Int `[N]`, from 0.
        second: Int `[N]`, from 0.
    """
    joint = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(joint, (first, second), 1 / len(first))
    entropies = [_entropy(joint.sum(axis=axis)) for axis in (0, 1)]
    mean = sum(entropies) / 2
    return 1.0 if mean == 0 else float((sum(entropies) - _entropy(joint.ravel())) / mean)


def _entropy(shares: np.ndarray) -> float:
    shares = shares[shares > 0]
    return float(-np.sum(shares * np.log(shares)))


def _squared_distances(rows: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """`[N, K]` for unit rows."""
    return np.maximum(1 - 2 * rows @ centers.T + np.sum(centers**2, axis=1), 0)


def _spread(rows: np.ndarray, clusters: int, random: np.random.Generator) -> np.ndarray:
    """k-means++: each next center is a row drawn by its squared distance from those before."""
    centers = [rows[random.integers(len(rows))]]
    distance = _squared_distances(rows, centers[-1][None])[:, 0]
    while len(centers) < clusters:
        total = distance.sum(dtype=np.float64)
        chance = None if total == 0 else distance.astype(np.float64) / total
        centers.append(rows[random.choice(len(rows), p=chance)])
        distance = np.minimum(distance, _squared_distances(rows, centers[-1][None])[:, 0])
    return np.stack(centers)


def _means(
    rows: np.ndarray, cluster: np.ndarray, nearest: np.ndarray, centers: np.ndarray
) -> np.ndarray:
    sums = np.zeros_like(centers)
    np.add.at(sums, cluster, rows)
    counts = np.bincount(cluster, minlength=len(centers))
    means = sums / np.maximum(counts, 1)[:, None]
    empty = np.flatnonzero(counts == 0)
    means[empty] = rows[np.argsort(-nearest, kind="stable")[: len(empty)]]
    return means
