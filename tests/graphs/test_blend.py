"""Blends of graphs, and graphs of several features, through both forms and several replicas."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import reference
from helpers.loss_values import assert_agrees, evaluate
from helpers.strategies import mirrored

from xsample_tf import graphs, losses
from xsample_tf.errors import InputError

BATCH = 8
RANDOM = np.random.default_rng(0)
SIDE = {
    "embedding": RANDOM.normal(size=(BATCH, 5)),
    "label": RANDOM.integers(0, 3, BATCH),
    "key_hash": RANDOM.integers(0, 2**31 - 1, BATCH).astype(np.int32),
}
Z = RANDOM.normal(size=(BATCH, 2, 4))


class NearGraph(graphs.SimilarityGraph):
    """A user's own graph of two features: a tensor is prepared of both."""

    features = ("embedding", "label")

    def prepare(self, side):
        label = tf.cast(side["label"], side["embedding"].dtype)
        return tf.concat([side["embedding"], label[:, None]], axis=1)

    def compare(self, rows, columns):
        apart = rows[:, None] - columns[None, :]
        return tf.exp(-tf.reduce_sum(tf.square(apart), axis=2))


class IndexedGraph(graphs.SimilarityGraph):
    """One that names the index beside another feature, and prepares a dict of dicts."""

    features = ("label", "index")

    def prepare(self, side):
        return {"label": side["label"], "of": {"index": side["index"]}}

    def compare(self, rows, columns):
        same = rows["label"][:, None] == columns["label"][None, :]
        apart = tf.abs(rows["of"]["index"][:, None] - columns["of"]["index"][None, :])
        return tf.where(same, 1.0, 1 / (1.0 + tf.cast(apart, tf.float32)))


def blend():
    return graphs.BlendedGraph([graphs.CosineGraph(), graphs.LabelGraph()], [3, 1])


def expected_similarity(graph):
    label, embedding = SIDE["label"], SIDE["embedding"]
    same = label[:, None] == label[None, :]
    if isinstance(graph, NearGraph):
        both = np.concatenate([embedding, label[:, None]], axis=1)
        return np.exp(-np.square(both[:, None] - both[None, :]).sum(axis=2))
    if isinstance(graph, IndexedGraph):
        apart = np.abs(np.subtract.outer(np.arange(BATCH), np.arange(BATCH)))
        return np.where(same, 1.0, 1 / (1.0 + apart))
    unit = reference.unit(embedding)
    return 0.75 * unit @ unit.T + 0.25 * same


GRAPHS = [NearGraph(), IndexedGraph(), blend()]


@pytest.mark.parametrize("implementation", ["dense", "tiled"])
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: type(graph).__name__)
def test_graphs_of_several_features_agree_with_brute_force(graph, implementation):
    expected = reference.loss(Z, expected_similarity(graph), 0.1, 0.2)
    ours = evaluate(
        Z, SIDE, graph, target_temperature=0.2, implementation=implementation, tile_size=3
    )
    assert_agrees(ours, expected, 1e-6, 0.1)


@pytest.mark.parametrize(("graph", "form"), [(blend(), "dense"), (IndexedGraph(), "tiled")])
def test_on_two_replicas_they_agree_with_one(graph, form):
    expected = evaluate(Z, SIDE, graph)
    strategy = mirrored(2)

    def share(values):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(values[context.replica_id_in_sync_group * 4 :][:4])
        )

    def step(z, side):
        with tf.GradientTape() as tape:
            tape.watch(z)
            loss, _ = losses.contrastive_rows(z, side, graph, implementation=form, tile_size=3)
            mean = tf.reduce_sum(loss) / BATCH
        return loss, tape.gradient(mean, z)

    run = tf.function(lambda *given: strategy.run(step, given), autograph=False)
    ours = run(share(Z), {name: share(values) for name, values in SIDE.items()})
    for value, name in zip(ours, ("loss", "gradient"), strict=True):
        joined = np.concatenate(strategy.experimental_local_results(value))
        np.testing.assert_allclose(joined, expected[name], atol=1e-6, err_msg=name)


def test_a_blend_of_one_feature_takes_the_value_alone():
    graph = graphs.BlendedGraph([graphs.LabelGraph(), graphs.ClassGraph([[1, 0.5], [0.5, 1]])])
    assert (graph.features, graph.target_temperature) == ("label", 0.1)
    similarity = graph.similarity(tf.constant([0, 1]), tf.constant([0, 1, 1]))
    np.testing.assert_allclose(similarity, [[1, 0.25, 0.25], [0.25, 1, 1]])
    np.testing.assert_array_equal(graph.valid(graph.prepare(tf.constant([0, 2]))), [True, False])
    with pytest.raises(InputError, match="row 1"):
        graph.check(tf.constant([0, 2]))


def test_the_target_of_a_blend_is_summarised():
    summary = losses.summarize_target(blend(), SIDE, 0.2)
    expected = reference.loss(Z, expected_similarity(blend()), 0.1, 0.2)
    assert summary.own_mass == pytest.approx(expected["own_mass"].mean(), rel=1e-5)
    assert summary.entropy == pytest.approx(expected["target_entropy"].mean(), rel=1e-5)


@pytest.mark.parametrize("weights", [[1], [1, -1], [1, float("nan")], [1, 2, 3]])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(InputError, match="graph_weights"):
        graphs.BlendedGraph([graphs.CosineGraph(), graphs.LabelGraph()], weights)


def test_missing_and_misshapen_features_are_named():
    for side, words in (
        ({"embedding": SIDE["embedding"]}, "NearGraph: expected 'label'"),
        ({**SIDE, "label": SIDE["label"][:3]}, "expected 'label' with one row for each of 8"),
        (SIDE["embedding"], "expected a dict with embedding, label"),
    ):
        with pytest.raises(InputError, match=words):
            losses.contrastive_rows(Z, side, NearGraph())
