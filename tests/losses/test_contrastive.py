"""The loss against brute force and against other people's numbers: values and gradients."""

import json

import hypothesis
import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from hypothesis import strategies as st

from xsample_tf import graphs
from xsample_tf.errors import InputError
from xsample_tf.losses import XSampleContrastiveLoss, contrastive_rows


def evaluate(embeddings, side, graph, temperature=0.1, weight=None, **arguments):
    """Loss [B], statistics, and the gradients of the weighted mean."""
    z = tf.constant(embeddings)
    tau = tf.constant(temperature, z.dtype if z.dtype == tf.float64 else tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([z, tau])
        loss, statistics = contrastive_rows(z, side, graph, tau, **arguments)
        factor = tf.ones_like(loss) if weight is None else tf.cast(weight, loss.dtype)
        mean = tf.reduce_mean(factor * loss)
    gradient, tau_gradient = tape.gradient(mean, [z, tau])
    return {
        "loss": loss.numpy(),
        "gradient": gradient.numpy(),
        "temperature_gradient": tau_gradient.numpy(),
        **{name: value.numpy() for name, value in statistics.items()},
    }


def assert_agrees(ours, expected, tolerance, temperature):
    scale = max(np.abs(expected["loss"]).max(), 1 / temperature)
    np.testing.assert_allclose(ours["loss"], expected["loss"], rtol=0, atol=tolerance * scale)
    for name in ("target_entropy", "own_mass"):
        np.testing.assert_allclose(ours[name], expected[name], rtol=0, atol=tolerance * 20)
    weight = 1 / expected["loss"].size
    scale = max(np.abs(expected["gradient"]).max(), weight / temperature)
    np.testing.assert_allclose(
        ours["gradient"], expected["gradient"], rtol=0, atol=tolerance * scale
    )
    scale = max(abs(expected["temperature_gradient"]), 1 / temperature**2)
    assert abs(ours["temperature_gradient"] - expected["temperature_gradient"]) <= tolerance * scale


@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
@hypothesis.given(
    batch=st.integers(2, 7),
    views=st.integers(1, 3),
    size=st.integers(2, 9),
    temperature=st.sampled_from([0.01, 0.07, 0.1, 1.0, 10.0]),
    target_temperature=st.sampled_from([0.0, 0.01, 0.1, 1.0, 10.0]),
    exclude_self=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 1000),
)
def test_cosine_graph_agrees_with_brute_force(
    batch, views, size, temperature, target_temperature, exclude_self, dtype, seed
):
    random = np.random.default_rng(seed)
    z = random.normal(size=(batch, views, size)).astype(dtype)
    captions = random.normal(size=(batch, 5)).astype(dtype)
    captions[0] = captions[-1]  # A repeated caption.
    similarity = reference.unit(captions) @ reference.unit(captions).T
    expected = reference.loss(z, similarity, temperature, target_temperature, exclude_self)
    ours = evaluate(
        z,
        captions,
        graphs.CosineGraph(),
        temperature,
        target_temperature=target_temperature,
        exclude_self=exclude_self,
    )
    assert ours["loss"].dtype == np.dtype(dtype)
    assert_agrees(ours, expected, 1e-5 if dtype == "float32" else 1e-9, temperature)
    assert (ours["loss"] - ours["target_entropy"]).min() >= -1e-5 / temperature


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


def test_weights_scale_each_image():
    random = np.random.default_rng(2)
    z, captions = random.normal(size=(5, 2, 4)), random.normal(size=(5, 6))
    weight = np.array([0.0, 1.0, 3.0, 0.5, 2.0])
    similarity = reference.unit(captions) @ reference.unit(captions).T
    expected = reference.loss(z, similarity, 0.1, 0.1, weight=weight)
    ours = evaluate(z, captions, graphs.CosineGraph(), weight=weight)
    np.testing.assert_allclose(ours["gradient"], expected["gradient"], atol=1e-10)
    keras_loss = XSampleContrastiveLoss(dtype="float64")(captions, z, sample_weight=weight)
    np.testing.assert_allclose(keras_loss, np.mean(weight * expected["loss"]), rtol=1e-10)


def test_xla_and_graph_mode_agree_with_eager():
    random = np.random.default_rng(3)
    z = tf.constant(random.normal(size=(6, 2, 8)), tf.float32)
    captions = tf.constant(random.normal(size=(6, 5)), tf.float32)
    eager = XSampleContrastiveLoss().call(captions, z).numpy()
    for jit_compile in (False, True):
        compiled = tf.function(XSampleContrastiveLoss().call, jit_compile=jit_compile)
        np.testing.assert_allclose(compiled(captions, z), eager, rtol=1e-5)


def test_zero_and_extreme_embeddings_stay_finite():
    captions = np.eye(4, dtype=np.float32)
    for z in (
        np.concatenate([np.zeros((1, 2, 3)), np.ones((3, 2, 3))]),
        np.full((4, 2, 3), 1e15),
        np.full((4, 2, 3), 1e-9),
    ):
        ours = evaluate(z.astype(np.float32), captions, graphs.CosineGraph(), 0.01)
        assert np.isfinite(ours["loss"]).all() and np.isfinite(ours["gradient"]).all()


def test_invalid_label_inside_a_compiled_step_gives_a_nan_row():
    z = tf.constant(np.random.default_rng(4).normal(size=(3, 2, 4)), tf.float32)
    for graph in (graphs.LabelGraph(), graphs.ClassGraph(np.eye(3))):
        for tau_s in (0.0, 0.1):
            loss = XSampleContrastiveLoss(graph, target_temperature=tau_s)
            compiled = tf.function(loss.call, jit_compile=True)
            rows = compiled(tf.constant([0.0, 2.0**24, 1.0]), z).numpy()
            assert np.isnan(rows[1]) and np.isfinite(rows[[0, 2]]).all()


def test_a_plain_keras_model_trains_with_it():
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(5)
    captions = random.normal(size=(32, 6)).astype(np.float32)
    images = np.stack([captions, captions + 0.1], axis=1)
    model = keras.Sequential([keras.Input((2, 6)), keras.layers.Dense(16)])
    model.compile(keras.optimizers.Adam(0.05), loss=XSampleContrastiveLoss())
    history = model.fit(images, captions, batch_size=16, epochs=20, verbose=0).history["loss"]
    assert history[-1] < history[0] - 0.05, history


def test_serialises_with_keras():
    graph = graphs.ClassGraph([[1, 0.5], [0.5, 1]])
    loss = XSampleContrastiveLoss(graph, temperature=0.2, target_temperature=0.3, reduction="sum")
    again = keras.saving.deserialize_keras_object(
        json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    )
    z = tf.constant(np.random.default_rng(6).normal(size=(4, 2, 3)), tf.float32)
    labels = tf.constant([0, 1, 1, 0])
    assert float(loss(labels, z)) == float(again(labels, z))
    center = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(graphs.CosineGraph([0.5, 1.0]))
    ).center
    np.testing.assert_array_equal(center, [0.5, 1.0])


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"target_temperature": -0.1}, "target_temperature"),
        ({"implementation": "dens"}, "did you mean 'dense'"),
        ({"graph": "cosine"}, "SimilarityGraph"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(InputError, match=words):
        XSampleContrastiveLoss(**arguments)


@pytest.mark.parametrize(
    "shape, side, graph, words",
    [
        ((4, 8), np.ones((4, 3)), graphs.CosineGraph(), r"\[B, V, D\]"),
        ((1, 2, 8), np.ones((1, 3)), graphs.CosineGraph(), "at least 2 images"),
        ((4, 2, 8), np.ones((3, 3)), graphs.CosineGraph(), "one row for each of 4"),
        ((4, 2, 8), np.full((4, 3), np.nan), graphs.CosineGraph(), "NaN"),
        ((4, 2, 8), np.ones(4), graphs.CosineGraph(), "caption vectors"),
        ((4, 2, 8), np.ones((4, 3)), graphs.CosineGraph([1.0, 2.0]), r"\[B, 2\]"),
        ((4, 2, 8), None, graphs.CosineGraph(), "'embedding'"),
        ((4, 1, 8), None, graphs.InstanceGraph(), "at least 2 views"),
        ((4, 2, 8), np.array([0, 1, 2, 0.5]), graphs.LabelGraph(), "whole numbers.*0.5"),
        ((4, 2, 8), np.array([0, 1, 2, 2**24]), graphs.LabelGraph(), "whole numbers"),
        ((4, 2, 8), np.array([0, 1, -1, 2]), graphs.LabelGraph(), "whole numbers"),
        ((4, 2, 8), np.array([0, 1, 2, 3]), graphs.ClassGraph(np.eye(3)), "from 0 to 2.*row 3"),
    ],
)
def test_input_that_does_not_fit_is_named(shape, side, graph, words):
    with pytest.raises(InputError, match=words):
        contrastive_rows(tf.ones(shape), side, graph)


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


def test_several_replicas_are_refused_rather_than_computed_wrongly():
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        with pytest.raises(InputError, match="one replica"):
            contrastive_rows(tf.ones([4, 2, 8]), None, graphs.InstanceGraph())


def test_cosine_graph_centres_and_keeps_missing_captions_unrelated():
    vectors = tf.constant([[3.0, 1], [0, 0], [1e-20, 1e-20], [1e19, -1e19]])
    plain = graphs.CosineGraph().similarity(vectors, vectors).numpy()
    np.testing.assert_allclose(plain[0, 2], 4 / np.sqrt(20), rtol=1e-5)
    assert np.all(plain[1] == 0) and np.isfinite(plain).all() and abs(plain[2, 3]) < 1e-6
    centered = graphs.CosineGraph([1.0, 1.0]).similarity(vectors, vectors).numpy()
    assert np.all(centered[1] == 0)
    np.testing.assert_allclose(np.diag(centered)[[0, 2, 3]], 1, rtol=1e-5)


# Numbers from other people's losses.


@pytest.fixture(scope="session")
def oracle(shared_oracles):
    arrays = np.load(shared_oracles / "peer_losses.npz")
    entries = json.loads((shared_oracles / "peer_losses.json").read_text())["entries"]
    return arrays, {entry["name"]: entry["value"] for entry in entries}


def views_of(arrays, prefix="", suffix=""):
    return np.stack([arrays[f"{prefix}z1{suffix}"], arrays[f"{prefix}z2{suffix}"]], axis=1)


@pytest.mark.parametrize("tau", ["0.05", "0.1", "0.5"])
@pytest.mark.parametrize("tau_s", ["0.001", "0.05", "0.1", "0.2", "1"])
def test_oracle_values(oracle, tau, tau_s):
    arrays, values = oracle
    expected = values[f"xclr_tau{tau}_taus{tau_s}"]
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-5)):
        ours = evaluate(
            views_of(arrays).astype(dtype),
            arrays["t"].astype(dtype),
            graphs.CosineGraph(),
            float(tau),
            target_temperature=float(tau_s),
        )
        np.testing.assert_allclose(ours["loss"].mean(), expected, rtol=tolerance)


@pytest.mark.parametrize("prefix", ["", "large_"])
def test_oracle_rows_and_gradients(oracle, prefix):
    arrays, values = oracle
    ours = evaluate(
        views_of(arrays, prefix).astype(np.float64),
        arrays[f"{prefix}t"].astype(np.float64),
        graphs.CosineGraph(),
    )
    np.testing.assert_allclose(ours["loss"], arrays[f"{prefix}xclr_per_image"], rtol=1e-10)
    expected = np.stack([arrays[f"{prefix}xclr_grad_z{v}_raw"] for v in (1, 2)], axis=1)
    np.testing.assert_allclose(ours["gradient"], expected, atol=1e-9 * np.abs(expected).max())
    expected = values[f"{prefix}xclr_grad_tau"]
    np.testing.assert_allclose(ours["temperature_gradient"], expected, rtol=1e-9)
    keep = evaluate(
        views_of(arrays, prefix).astype(np.float64),
        arrays[f"{prefix}t"].astype(np.float64),
        graphs.CosineGraph(),
        exclude_self=False,
    )
    expected = values[f"{prefix}xclr_keep_self_tau0.1_taus0.1"]
    np.testing.assert_allclose(keep["loss"].mean(), expected, rtol=1e-10)


def test_oracle_weights_and_three_views(oracle):
    arrays, values = oracle
    weight = arrays["large_weight"].astype(np.float64)
    ours = evaluate(
        views_of(arrays, "large_").astype(np.float64),
        arrays["large_t"].astype(np.float64),
        graphs.CosineGraph(),
        weight=weight,
    )
    expected = values["large_xclr_weighted_tau0.1_taus0.1"]
    np.testing.assert_allclose(np.mean(weight * ours["loss"]), expected, rtol=1e-10)
    ours = evaluate(
        arrays["views3_z"].astype(np.float64),
        arrays["views3_t"].astype(np.float64),
        graphs.CosineGraph(),
    )
    np.testing.assert_allclose(ours["loss"], arrays["views3_xclr_per_image"], rtol=1e-10)


def test_oracle_limits_are_simclr_and_supcon(oracle):
    arrays, values = oracle
    z = views_of(arrays, suffix="_unit")
    labels = arrays["labels"]
    class_captions = arrays["t_unit"][2 * labels]
    for name, graph, side in (
        ("ntxent", graphs.InstanceGraph(), None),
        ("ntxent", graphs.CosineGraph(), arrays["t_unit"]),
        ("supcon_out", graphs.LabelGraph(), labels),
        ("supcon_out", graphs.CosineGraph(), class_captions),
    ):
        ours = evaluate(z, side, graph, 0.1, target_temperature=0.0)
        np.testing.assert_allclose(ours["loss"].mean(), values[f"{name}_tau0.1"], rtol=1e-10)
        expected = np.stack([arrays[f"{name}_grad_z1"], arrays[f"{name}_grad_z2"]], axis=1)
        # The table's gradient takes unit rows as free; ours normalises, so project it.
        expected = expected - (expected * z).sum(-1, keepdims=True) * z
        np.testing.assert_allclose(ours["gradient"], expected, atol=1e-9)
        ours = evaluate(z, side, graph, 0.5, target_temperature=0.0)
        np.testing.assert_allclose(ours["loss"].mean(), values[name], rtol=1e-10)
