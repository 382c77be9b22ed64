import numpy as np
import pytest

from xsample_tf.evaluation.probes.few_shot import prototype_scores, ridge_scores, shots


def reference(features, labels, queries, classes):
    """big_vision's rule by the eigenvalues of the Gram matrix, primal or dual as asked for."""
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-5

    def prepare(x):
        return np.append((x - mean) / std, np.full([len(x), 1], 100.0), axis=1)

    x, y = prepare(features), 2 * np.eye(classes)[labels] - 1
    found = []
    for gram, left, right in ((x.T @ x, np.eye(x.shape[1]), x.T @ y), (x @ x.T, x.T, y)):
        eigenvalues, vectors = np.linalg.eigh(gram)
        weights = left @ vectors @ np.diag(1 / (eigenvalues + 2**10)) @ vectors.T @ right
        found.append(prepare(queries) @ weights)
    return found


@pytest.mark.parametrize("count", [4, 90])  # Fewer and more images than features.
def test_the_rule_is_big_visions_in_either_form(count):
    random = np.random.default_rng(0)
    labels = np.arange(count) % 4
    features = random.normal(size=(count, 12)) + 2 * np.eye(4, 12)[labels]
    features[:, 5] = 3.0  # Constant among the shots.
    queries = random.normal(size=(20, 12))
    queries[:, 5] = 3.0
    primal, dual = reference(features, labels, queries, 4)
    np.testing.assert_allclose(primal, dual, atol=1e-8)
    scores = ridge_scores(features.astype(np.float32), labels, queries.astype(np.float32), 4)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, primal, atol=1e-4)


def test_shots_are_nested_in_one_seed_and_differ_between_seeds():
    labels = np.random.default_rng(0).integers(0, 3, 60)
    one, five, ten = shots(labels, 3, (1, 5, 10), seed=2)
    assert [len(rows) for rows in (one, five, ten)] == [3, 15, 30]
    assert set(one) < set(five) < set(ten)
    np.testing.assert_array_equal(np.bincount(labels[five]), [5, 5, 5])
    # As big_vision draws them: each class in order, from one generator.
    random = np.random.default_rng(2)
    expected = [random.permutation(np.where(labels == c)[0])[:5] for c in range(3)]
    np.testing.assert_array_equal(five, np.concatenate(expected))
    assert set(five) != set(shots(labels, 3, (5,), seed=1)[0])


def test_a_prototype_is_the_mean_direction_and_a_class_without_images_scores_nothing():
    features = np.array([[2.0, 0], [0, 3], [0, 1]])
    scores = prototype_scores(features, np.array([0, 0, 2]), np.array([[1.0, 1], [0, 5]]), 3)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(scores, [[1, -np.inf, half], [half, -np.inf, 1]])
