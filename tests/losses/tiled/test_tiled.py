"""The tiled form: exact at any shape and temperature, in memory linear in the batch."""

import re

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from helpers import reference
from helpers.loss_values import COSINE, assert_agrees, evaluate
from hypothesis import strategies as st

from xsample_tf import graphs
from xsample_tf.errors import InputError
from xsample_tf.losses import XSampleContrastiveLoss, contrastive_rows

TABLE = np.array([[1, 0.25, -0.5], [0.25, 1, 0], [-0.5, 0, 1]])
LABELS = np.array([0, 1, 2, 2, 1, 0, 0])


@pytest.mark.parametrize(
    "batch, views, tau, tau_s, exclude_self, tile_size, known",
    [
        (7, 2, 0.1, 0.1, True, 3, True),
        (7, 2, 0.1, 0.1, True, 3, False),
        (8, 2, 0.02, 0.01, True, 4, True),
        (7, 1, 0.1, 0.1, True, 3, True),
        (7, 1, 0.01, 0.0, True, 2, True),
        (6, 3, 0.2, 0.0, False, 4, True),
        (5, 3, 10.0, 10.0, True, 2, False),
        (2, 1, 0.07, 0.05, False, 9, True),
    ],
)
@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
def test_agrees_with_brute_force(batch, views, tau, tau_s, exclude_self, tile_size, known, dtype):
    random = np.random.default_rng(batch)
    z = random.normal(size=(batch, views, 5)).astype(dtype)
    captions = random.normal(size=(batch, 6)).astype(dtype)
    captions[0] = captions[-1]
    weight = random.uniform(size=batch)
    similarity = reference.unit(captions) @ reference.unit(captions).T
    expected = reference.loss(z, similarity, tau, tau_s, exclude_self, weight)
    ours = evaluate(
        z,
        captions,
        COSINE,
        tau,
        weight,
        known=known,
        target_temperature=tau_s,
        exclude_self=exclude_self,
        implementation="tiled",
        tile_size=tile_size,
    )
    assert ours["loss"].dtype == np.dtype(dtype)
    assert_agrees(ours, expected, 1e-5 if dtype == "float32" else 1e-10, tau)


@pytest.mark.parametrize(
    "graph, side, similarity",
    [
        (graphs.LabelGraph(), LABELS, np.eye(3)[LABELS][:, LABELS]),
        (graphs.ClassGraph(TABLE), LABELS, TABLE[LABELS][:, LABELS]),
        (graphs.InstanceGraph(), None, np.eye(7)),
    ],
)
@pytest.mark.parametrize("tau_s", [0.0, 0.2])
def test_every_graph(graph, side, similarity, tau_s):
    z = np.random.default_rng(1).normal(size=(7, 2, 4))
    expected = reference.loss(z, similarity, 0.2, tau_s)
    form = {"implementation": "tiled", "tile_size": 3, "target_temperature": tau_s}
    assert_agrees(evaluate(z, side, graph, 0.2, **form), expected, 1e-9, 0.2)


@pytest.mark.slow  # 28 s: each case compiles.
@hypothesis.settings(max_examples=30, deadline=None, derandomize=True)
@hypothesis.given(
    tau=st.floats(0.01, 10),
    tau_s=st.sampled_from([0.0, 1e-4, 0.01, 10.0]),
    scale=st.sampled_from([1e-9, 1.0, 1e9]),
    special=st.sampled_from(["none", "identical", "one zero", "opposite", "one hot"]),
    seed=st.integers(0, 10_000),
)
def test_extreme_inputs_stay_within_the_bounds(tau, tau_s, scale, special, seed):
    random = np.random.default_rng(seed)
    z = random.normal(size=(6, 2, 3))
    if special == "identical":
        z[:] = z[0, 0]
    elif special == "one zero":
        z[1, 0] = 0
    elif special == "opposite":  # All candidates of one anchor are at the far end of the sphere.
        z[:] = z[0, 0]
        z[0, 0] *= -1
    elif special == "one hot":
        z = np.eye(3)[random.integers(3, size=(6, 2))]
    z = (scale * z).astype(np.float32)
    captions = random.normal(size=(6, 4)).astype(np.float32)
    captions[0], captions[2] = captions[1], 0
    similarity = reference.unit(captions) @ reference.unit(captions).T
    expected = reference.loss(z, similarity, tau, tau_s)
    # By the normalised vectors: the gradient by raw ones has another scale.
    norm = np.linalg.norm(z.astype(np.float64), axis=-1, keepdims=True)
    expected["gradient"] = expected["gradient"] * norm
    form = {"implementation": "tiled", "tile_size": 4, "target_temperature": tau_s}
    ours = evaluate(z, captions, COSINE, tau, **form)
    ours["gradient"] = ours["gradient"] * norm
    assert all(np.isfinite(value).all() for value in ours.values())
    assert_agrees(ours, expected, 1e-5, tau, tau_s)
    if tau >= 1 / 64:
        known = evaluate(z, captions, COSINE, float(np.float32(0.02)), known=True, **form)
        expected = reference.loss(z, similarity, 0.02, tau_s)
        expected["gradient"] = expected["gradient"] * norm
        known["gradient"] = known["gradient"] * norm
        assert_agrees(known, expected, 1e-5, 0.02, tau_s)


@pytest.mark.parametrize("size", [2, 2048])
def test_large_batch_agrees_with_the_dense_form(size):
    random = np.random.default_rng(size)
    z = random.normal(size=(512, 2, size)).astype(np.float32)
    captions = random.normal(size=(512, 32)).astype(np.float32)
    dense, tiled = (
        evaluate(z.astype(dtype), captions.astype(dtype), COSINE, implementation=implementation)
        for implementation, dtype in (("dense", np.float64), ("tiled", np.float32))
    )
    assert_agrees(tiled, dense, 1e-5, 0.1)


def test_eager_graph_and_xla_are_one():
    random = np.random.default_rng(3)
    z = tf.constant(random.normal(size=(9, 2, 8)), tf.float32)
    captions = tf.constant(random.normal(size=(9, 5)), tf.float32)
    loss = XSampleContrastiveLoss(implementation="tiled", tile_size=4)

    def step(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = loss(captions, z)
        return value, tape.gradient(value, z)

    expected = step(z)
    for jit_compile in (False, True):
        for one, two in zip(tf.function(step, jit_compile=jit_compile)(z), expected, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)


def test_no_array_grows_with_the_square_of_the_batch():
    def largest_array(batch):
        def step(z, captions):
            with tf.GradientTape() as tape:
                tape.watch(z)
                loss, _ = contrastive_rows(
                    z, captions, COSINE, implementation="tiled", tile_size=32
                )
            return tape.gradient(loss, z)

        compiled = tf.function(step, jit_compile=True)
        shapes = tf.TensorSpec([batch, 2, 16]), tf.TensorSpec([batch, 24])
        program = compiled.experimental_get_compiler_ir(*shapes)(stage="hlo")
        sizes = re.findall(r"[a-z]\d+\[([\d,]+)\]", program)
        return max(np.prod([int(side) for side in shape.split(",")]) for shape in sizes)

    # Where nothing is larger than the embeddings and captions themselves, all is linear.
    assert largest_array(2048) <= 2048 * 2 * 16
    assert largest_array(4096) <= 4096 * 2 * 16


def test_an_invalid_label_gives_a_nan_row_and_a_gradient_that_is_not_finite():
    z = tf.constant(np.random.default_rng(4).normal(size=(5, 2, 4)), tf.float32)
    labels = tf.constant([0.0, 2.0**24, 1.0, 0.0, 1.5])
    for graph in (graphs.LabelGraph(), graphs.ClassGraph(np.eye(3))):
        loss = XSampleContrastiveLoss(graph, implementation="tiled", tile_size=2)

        @tf.function(jit_compile=True)
        def step(z, loss=loss):
            with tf.GradientTape() as tape:
                tape.watch(z)
                rows = loss.call(labels, z)
            return rows, tape.gradient(rows, z)

        rows, gradient = step(z)
        assert np.isnan(rows.numpy()[[1, 4]]).all() and np.isfinite(rows.numpy()[[0, 2, 3]]).all()
        assert not np.isfinite(gradient.numpy()).all()


def test_a_batch_of_unknown_size_takes_the_dense_form_or_is_named():
    z = tf.constant(np.random.default_rng(5).normal(size=(8, 2, 4)), tf.float32)
    shape = tf.TensorSpec([None, 2, 4])
    loss = XSampleContrastiveLoss(graphs.InstanceGraph())
    unknown = tf.function(lambda z: loss.call(None, z), input_signature=[shape])
    np.testing.assert_allclose(unknown(z), loss.call(None, z), rtol=1e-5)
    loss = XSampleContrastiveLoss(graphs.InstanceGraph(), implementation="tiled")
    with pytest.raises(InputError, match="drop_remainder=True"):
        tf.function(lambda z: loss.call(None, z), input_signature=[shape])(z)
