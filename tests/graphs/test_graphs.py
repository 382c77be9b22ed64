"""Each graph's similarities, alone and through the loss, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import reference
from helpers.loss_values import assert_agrees, evaluate

from xsample_tf import graphs
from xsample_tf.errors import InputError


@pytest.mark.parametrize(
    "graph, side",
    [
        (graphs.LabelGraph(), np.array([0, 2, 0, 1, 2, 2])),
        (graphs.LabelGraph(), np.array([[0.0], [2], [0], [1], [2], [2]], np.float32)),
        (graphs.ClassGraph([[1, 0.25, -0.5], [0.25, 1, 0], [-0.5, 0, 1]]), np.array([0, 1, 2] * 2)),
        (graphs.InstanceGraph(), None),
    ],
)
@pytest.mark.parametrize("target_temperature", [None, 0.0, 0.2])
def test_other_graphs_agree_with_brute_force(graph, side, target_temperature):
    z = np.random.default_rng(1).normal(size=(6, 2, 4))
    if side is None:
        similarity = np.eye(6)
    else:
        labels = np.ravel(side).astype(int)
        table = getattr(graph, "table", np.eye(3))
        similarity = table[labels][:, labels]
    tau_s = graph.target_temperature if target_temperature is None else target_temperature
    expected = reference.loss(z, similarity, 0.2, tau_s)
    ours = evaluate(z, side, graph, 0.2, target_temperature=target_temperature)
    assert_agrees(ours, expected, 1e-9, 0.2)


class AgeGraph(graphs.SimilarityGraph):
    """The example of the guide."""

    features = "age"

    def compare(self, rows, columns):
        return tf.exp(-tf.abs(rows[:, None] - columns[None, :]) / 10)


@pytest.mark.parametrize("implementation", ["dense", "tiled"])
def test_a_graph_of_ones_own(implementation):
    random = np.random.default_rng(8)
    z, ages = random.normal(size=(6, 2, 4)), random.uniform(20, 60, size=6)
    similarity = np.exp(-np.abs(ages[:, None] - ages[None, :]) / 10)
    expected = reference.loss(z, similarity, 0.1, 0.1)
    ours = evaluate(z, ages, AgeGraph(), implementation=implementation)
    assert_agrees(ours, expected, 1e-9, 0.1)


@pytest.mark.parametrize(
    "table, words",
    [
        (np.ones((2, 3)), "square"),
        (np.array([[1, 0.2], [0.3, 1]]), "symmetric.*0.2.*0.3"),
        (np.array([[1, np.nan], [np.nan, 1]]), "finite"),
        (np.full((2, 2), 3.0), "within"),
    ],
)
def test_bad_tables_are_named(table, words):
    with pytest.raises(InputError, match=words):
        graphs.ClassGraph(table)


def test_cosine_graph_centres_and_keeps_missing_captions_unrelated():
    vectors = tf.constant([[3.0, 1], [0, 0], [1e-20, 1e-20], [1e19, -1e19]])
    plain = graphs.CosineGraph().similarity(vectors, vectors).numpy()
    np.testing.assert_allclose(plain[0, 2], 4 / np.sqrt(20), rtol=1e-5)
    assert np.all(plain[1] == 0) and np.isfinite(plain).all() and abs(plain[2, 3]) < 1e-6
    centered = graphs.CosineGraph([1.0, 1.0]).similarity(vectors, vectors).numpy()
    assert np.all(centered[1] == 0)
    np.testing.assert_allclose(np.diag(centered)[[0, 2, 3]], 1, rtol=1e-5)
