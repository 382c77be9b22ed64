import itertools

import numpy as np
import pytest

from xsample_tf.evaluation.probes.clusters import k_means, normalized_mutual_information


def test_mutual_information_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    first = random.integers(0, 4, 60)
    second = np.where(random.random(60) < 0.6, first, random.integers(0, 5, 60))
    # sklearn.metrics.normalized_mutual_info_score of scikit-learn 1.9.1.
    expected = pytest.approx(0.43386046006716145, abs=1e-12)
    assert normalized_mutual_information(first, second) == expected
    assert normalized_mutual_information(second, first) == expected
    assert normalized_mutual_information(first, (first + 1) % 4) == pytest.approx(1)
    assert normalized_mutual_information(np.arange(4), np.zeros(4, int)) == pytest.approx(0)
    assert normalized_mutual_information(np.zeros(4, int), np.zeros(4, int)) == 1


def test_clusters_are_those_of_the_smallest_distances():
    """On nine points in three clusters, among all 3^9 ways to divide them."""
    random = np.random.default_rng(1)
    rows = np.eye(3, 4)[np.arange(9) % 3] + 0.3 * random.normal(size=(9, 4))
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def spread(cluster):
        groups = [units[np.array(cluster) == k] for k in set(cluster)]
        return sum(np.sum((group - group.mean(axis=0)) ** 2) for group in groups)

    best = min(spread(cluster) for cluster in itertools.product(range(3), repeat=9))
    assert spread(tuple(k_means(rows, 3))) == pytest.approx(best, rel=1e-5)


def test_the_sum_of_distances_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    random.integers(0, 4, 60), random.random(60), random.integers(0, 5, 60)
    centers = random.normal(size=(5, 6))
    rows = centers[random.integers(0, 5, 200)] + 0.5 * random.normal(size=(200, 6))
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cluster = k_means(rows, 5)
    spread = sum(
        np.sum((units[cluster == k] - units[cluster == k].mean(axis=0)) ** 2) for k in range(5)
    )
    # sklearn.cluster.KMeans(5, n_init=20).inertia_ of scikit-learn 1.9.1.
    assert spread == pytest.approx(38.923777214082165, rel=1e-5)


def test_equal_rows_have_a_cluster_too():
    assert set(k_means(np.ones([5, 3]), 3)) <= {0, 1, 2}
