"""The loss against brute force, as a Keras loss, and what it refuses."""

import json

import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import reference
from helpers.loss_values import assert_agrees, evaluate
from hypothesis import strategies as st

from xsample_tf import graphs
from xsample_tf.errors import InputError
from xsample_tf.losses import XSampleContrastiveLoss, contrastive_rows


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
        ({"temperature": "0.1"}, "temperature: expected a number"),
        ({"target_temperature": "auto:0.5"}, "target_temperature: expected"),
        ({"temperature": float("nan")}, "temperature"),
        ({"target_temperature": -0.1}, "target_temperature"),
        ({"implementation": "dens"}, "did you mean 'dense'"),
        ({"tile_size": 0}, "tile_size"),
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
        ((0, 2, 8), np.ones((0, 3)), graphs.CosineGraph(), "at least 2 images"),
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


def test_targets_may_be_left_out_where_the_graph_needs_none():
    z = tf.constant(np.random.default_rng(9).normal(size=(4, 2, 8)), tf.float32)
    loss = XSampleContrastiveLoss(graphs.InstanceGraph())
    assert float(loss(None, z)) == float(loss(tf.zeros([4]), z))
    with pytest.raises(InputError, match="'embedding'.*received None"):
        XSampleContrastiveLoss()(None, z)


def test_a_form_that_does_not_exist_is_named():
    with pytest.raises(InputError, match="did you mean 'tiled'"):
        contrastive_rows(tf.ones([4, 2, 8]), None, graphs.InstanceGraph(), implementation="tile")


def test_a_variable_learns_the_temperature():
    z = tf.constant(np.random.default_rng(7).normal(size=(4, 2, 8)), tf.float32)
    for kind in (tf.Variable, keras.Variable):
        tau = kind(0.1)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(contrastive_rows(z, None, graphs.InstanceGraph(), tau)[0])
        value = getattr(tau, "value", tau)
        assert float(tape.gradient(loss, value if kind is keras.Variable else tau)) != 0
