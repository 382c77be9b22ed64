"""Controls: what they keep of the real graph, and what they make random."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import reference
from helpers.loss_values import assert_agrees, evaluate

from xsample_tf import graphs, losses
from xsample_tf.errors import InputError

KEYS = np.array([7, 2**31 - 2, 123456, 0, 99, 31337], np.int32)


def mixed(bits):
    """The 32-bit mixer, in Python's whole numbers."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        bits = (bits ^ bits >> shift) * factor & 0xFFFFFFFF
    return bits


def pair_bits(one, two, seed, purpose):
    hashes = []
    for bits in (int(one), int(two)):
        for word in (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, purpose):
            bits = mixed(bits ^ word)
        hashes.append(bits - 2**32 * (bits >= 2**31))  # Compared as signed numbers.
    smaller, larger = sorted(hashes)
    return mixed(smaller + mixed(larger & 0xFFFFFFFF) & 0xFFFFFFFF)


def real_table(count=12):
    vectors = np.random.default_rng(0).normal(size=(count, 5))
    return reference.unit(vectors) @ reference.unit(vectors).T


def off_diagonal(table):
    return np.sort(table[np.triu_indices(len(table), 1)])


@pytest.mark.parametrize("seed", [0, 5, -1, 2**40 + 3])
def test_a_random_pair_s_value_is_a_function_of_seed_and_keys(seed):
    values = np.linspace(-0.5, 0.9, 8)
    graph = graphs.RandomSampleGraph(values, seed)
    expected = [[values[pair_bits(a, b, seed, 1) >> 29] for b in KEYS] for a in KEYS]
    np.testing.assert_allclose(graph.similarity(KEYS, KEYS), expected, rtol=1e-6)
    compiled = tf.function(graph.similarity, jit_compile=True)
    np.testing.assert_allclose(compiled(KEYS, KEYS), expected, rtol=1e-6)


def test_keys_of_any_sign_that_keras_cast_to_float_draw_alike_in_every_mode():
    keys = np.random.default_rng(0).integers(-(2**31), 2**31, 64).astype(np.float32)
    graph = graphs.RandomSampleGraph(np.linspace(0, 1, 1024), 3)
    similarity = graph.similarity(keys, keys).numpy()
    assert len(np.unique(similarity)) > 700  # Of 2,016 pairs; of equal keys there would be few.
    compiled = tf.function(graph.similarity, jit_compile=True)
    np.testing.assert_array_equal(compiled(keys, keys), similarity)


def test_a_random_pair_keeps_its_value_wherever_it_stands():
    graph = graphs.RandomSampleGraph(np.linspace(0, 1, 1024), 3)
    keys = np.random.default_rng(1).integers(0, 2**31 - 1, 40).astype(np.int32)
    order = np.random.default_rng(2).permutation(40)
    similarity = graph.similarity(keys, keys).numpy()
    np.testing.assert_array_equal(similarity, similarity.T)
    permuted = graph.similarity(keys[order], keys[order]).numpy()
    np.testing.assert_array_equal(permuted, similarity[np.ix_(order, order)])
    other = graphs.RandomSampleGraph(np.linspace(0, 1, 1024), 4).similarity(keys, keys).numpy()
    assert np.mean(other == similarity) < 0.05


def test_random_pairs_have_the_real_graph_s_histogram():
    real = np.random.default_rng(3).beta(2, 5, 20000) * 1.5 - 0.5
    graph = graphs.RandomSampleGraph.from_similarities(real, 1)
    keys = np.random.default_rng(4).integers(0, 2**31 - 1, 600).astype(np.int32)
    drawn = graph.similarity(keys, keys).numpy()[np.triu_indices(600, 1)]
    for share in (0.01, 0.1, 0.5, 0.9, 0.99):
        assert abs(np.quantile(drawn, share) - np.quantile(real, share)) < 0.01
    assert drawn.min() >= real.min() and drawn.max() <= real.max() + 1e-6
    # Of three images, the third pair is not decided by the others.
    first, second, third = (
        graph.similarity(keys[a : a + 200], keys[b : b + 200]).numpy().ravel()
        for a, b in ((0, 200), (200, 400), (0, 400))
    )
    assert abs(np.corrcoef(first * second, third)[0, 1]) < 0.02


@pytest.mark.parametrize("kind", [graphs.RandomClassGraph, graphs.ShuffledClassGraph])
def test_class_controls_keep_the_histogram(kind):
    table = real_table()
    drawn = kind(table, 1).table
    np.testing.assert_array_equal(drawn, drawn.T)
    np.testing.assert_allclose(np.diag(drawn), 1)
    np.testing.assert_allclose(off_diagonal(drawn), off_diagonal(table))
    assert not np.allclose(drawn, table)
    np.testing.assert_array_equal(kind(table, 1).table, drawn)
    assert not np.allclose(kind(table, 2).table, drawn)


def test_shuffled_classes_keep_the_structure_and_random_ones_do_not():
    table = real_table()
    spectrum = np.linalg.eigvalsh(table)
    shuffled = np.linalg.eigvalsh(graphs.ShuffledClassGraph(table, 1).table)
    np.testing.assert_allclose(shuffled, spectrum, atol=1e-9)
    assert (
        np.abs(np.linalg.eigvalsh(graphs.RandomClassGraph(table, 1).table) - spectrum).max() > 0.1
    )


@pytest.mark.parametrize("temperature", [0.05, 0.3])
def test_smoothing_has_the_real_graph_s_entropy(temperature):
    labels = np.random.default_rng(5).integers(0, 12, 64)
    real = graphs.ClassGraph(real_table())
    entropy = losses.summarize_target(real, labels, temperature).entropy
    graph = graphs.SmoothingGraph.with_entropy(entropy, labels, temperature)
    assert losses.summarize_target(graph, labels, temperature).entropy == pytest.approx(
        entropy, abs=1e-4
    )
    similarity = graph.similarity(labels, labels).numpy()
    expected = np.where(labels[:, None] == labels[None, :], 1, graph.off_class)
    np.testing.assert_allclose(similarity, expected, rtol=1e-6)


def test_smoothing_names_what_it_cannot_reach():
    labels = np.array([0, 1, 2, 3])
    with pytest.raises(InputError, match=r"smoothing: expected an entropy from .* received 9"):
        graphs.SmoothingGraph.with_entropy(9.0, labels, 0.1)
    with pytest.raises(InputError, match="target_temperature: expected a number above 0"):
        graphs.SmoothingGraph.with_entropy(1.0, labels, 0.0)
    with pytest.raises(InputError, match="off_class"):
        graphs.SmoothingGraph(1.5)


def noisy_reference(similarity, keys, spurious, missing, no_edge, seed):
    result = similarity.copy()
    for i, one in enumerate(keys):
        for j, two in enumerate(keys):
            drawn = (pair_bits(one, two, seed, 2) >> 8) / 2**24
            if similarity[i, j] == 1:
                result[i, j] = no_edge if drawn < missing else 1
            elif drawn < spurious:
                result[i, j] = 1
    return result


@pytest.mark.parametrize("implementation", ["dense", "tiled"])
@pytest.mark.parametrize("table", [None, real_table(3)], ids=["labels", "classes"])
def test_edge_noise_agrees_with_brute_force(table, implementation):
    labels = np.array([0, 1, 0, 2, 1, 0])
    inner = graphs.LabelGraph() if table is None else graphs.ClassGraph(table)
    graph = graphs.EdgeNoiseGraph(inner, 0.3, 0.4, no_edge=0.1, seed=6)
    assert graph.features == ("label", "key_hash")
    exact = inner.similarity(labels, labels).numpy().astype(np.float64)
    np.fill_diagonal(exact, 1)
    exact[exact > 1 - 1e-6] = 1
    expected = noisy_reference(exact, KEYS, 0.3, 0.4, 0.1, 6)
    assert (expected != exact).any()
    z = np.random.default_rng(7).normal(size=(6, 2, 4))
    wanted = reference.loss(z, expected, 0.2, 0.5)
    side = {"label": labels, "key_hash": KEYS}
    settings = {"target_temperature": 0.5, "implementation": implementation}
    ours = evaluate(z, side, graph, 0.2, **settings)
    assert_agrees(ours, wanted, 1e-6, 0.2)


def test_edges_are_spurious_and_missing_as_often_as_asked():
    random = np.random.default_rng(8)
    labels = random.integers(0, 4, 500)
    side = {"label": labels, "key_hash": random.integers(0, 2**31 - 1, 500).astype(np.int32)}
    noisy = graphs.EdgeNoiseGraph(graphs.LabelGraph(), 0.05, 0.2).similarity(side, side).numpy()
    pairs = np.triu_indices(500, 1)
    same = (labels[:, None] == labels[None, :])[pairs]
    assert np.mean(noisy[pairs][~same]) == pytest.approx(0.05, abs=0.005)
    assert np.mean(noisy[pairs][same] == 0) == pytest.approx(0.2, abs=0.01)
    quiet = graphs.EdgeNoiseGraph(graphs.LabelGraph()).similarity(side, side).numpy()
    np.testing.assert_array_equal(quiet[pairs], same)


def test_invalid_labels_stay_invalid_under_noise():
    graph = graphs.EdgeNoiseGraph(graphs.LabelGraph(), 0.1)
    side = {"label": tf.constant([0, -1, 1]), "key_hash": tf.constant([1, 2, 3])}
    np.testing.assert_array_equal(graph.valid(graph.prepare(side)), [True, False, True])
    with pytest.raises(InputError, match="row 1"):
        graph.check(side)


@pytest.mark.parametrize(
    ("values", "words"), [([0.1, 0.2, 0.3], "power of 2"), ([0.1, 1.2], "within")]
)
def test_values_that_cannot_be_are_refused(values, words):
    with pytest.raises(InputError, match=words):
        graphs.RandomSampleGraph(values)
