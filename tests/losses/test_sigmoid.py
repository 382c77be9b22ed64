"""The sigmoid loss: against brute force and other people's numbers, in every form."""

import functools
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import reference
from helpers.strategies import mirrored

from xsample_tf.errors import InputError
from xsample_tf.losses import SigmoidContrastiveLoss

DENSE = {"implementation": "dense"}
FORMS = pytest.mark.parametrize(
    "form",
    [DENSE, {"implementation": "tiled", "tile_size": 3}],
    ids=["dense", "tiled"],
)


def step(loss, z, tau, bias, weight):
    """Loss, statistics and gradients of a replica's share of the weighted sum."""
    with tf.GradientTape() as tape:
        tape.watch([z, tau, bias])
        rows, statistics = loss.rows(None, z, tau, bias)
        total = tf.reduce_sum(weight * rows)
    names = ("gradient", "temperature_gradient", "bias_gradient")
    gradients = dict(zip(names, tape.gradient(total, [z, tau, bias]), strict=True))
    return {"loss": rows, **statistics, **gradients}


def evaluate(z, tau, bias, weight=None, **form):
    z = tf.constant(z)
    weight = np.ones(len(z)) if weight is None else weight
    scalars = [tf.constant(value, z.dtype) for value in (tau, bias, weight / len(z))]
    found = step(SigmoidContrastiveLoss(**form), z, *scalars)
    return {name: value.numpy() for name, value in found.items()}


def assert_agrees(ours, expected, tolerance):
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(np.abs(value).max(), 1e-3)
        np.testing.assert_allclose(ours[name], value, rtol=0, atol=tolerance * scale, err_msg=name)


@FORMS
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize(
    "batch, views, tau, bias", [(7, 1, 0.1, -10.0), (6, 3, 0.07, -2.5), (2, 1, 1.0, 3.0)]
)
def test_agrees_with_brute_force(batch, views, tau, bias, dtype, tolerance, form):
    random = np.random.default_rng(batch)
    z = random.normal(size=(batch, views + 1, 5))
    z[:, :-1] += 2 * z[:, -1:]  # Some pairs are right.
    weight = random.uniform(size=batch)
    expected = reference.sigmoid_loss(z.astype(dtype), tau, bias, weight)
    assert_agrees(evaluate(z.astype(dtype), tau, bias, weight, **form), expected, tolerance)


@FORMS
def test_value_is_open_clips(shared_oracles, form):
    arrays = np.load(shared_oracles / "peer_losses.npz")
    entries = json.loads((shared_oracles / "peer_losses.json").read_text())["entries"]
    expected = {entry["name"]: entry["value"] for entry in entries}["siglip"]
    pairs = np.stack([arrays["z1_unit"], arrays["t_unit"]], axis=1).astype(np.float64)
    assert evaluate(pairs, 0.1, -10, **form)["loss"].mean() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("tile_size", [1, 5, 12])
def test_any_tile_size(tile_size):
    z = np.random.default_rng(0).normal(size=(13, 2, 4))
    expected = evaluate(z, 0.1, -5, **DENSE)
    ours = evaluate(z, 0.1, -5, implementation="tiled", tile_size=tile_size)
    assert_agrees(ours, expected, 1e-12)


@FORMS
@pytest.mark.parametrize("tau, bias", [(0.01, -10.0), (0.01, 50.0), (0.002, 0.0), (10.0, -80.0)])
@pytest.mark.parametrize("special", ["identical", "zero", "opposite", "right"])
def test_extreme_inputs_stay_within_the_bounds(tau, bias, special, form):
    z = np.random.default_rng(1).normal(size=(6, 2, 3)).astype(np.float32)
    if special == "identical":
        z[:] = z[0, 0]
    elif special == "zero":
        z[1] = 0
    elif special == "opposite":
        z[:, 1] = -z[:, 0]
    else:
        z[:, 1] = z[:, 0]
    ours = evaluate(z, tau, bias, **form)
    assert all(np.isfinite(value).all() for value in ours.values())
    expected = reference.sigmoid_loss(z, tau, bias)
    # A cosine's error of float32, which the temperature divides.
    np.testing.assert_allclose(ours["loss"], expected["loss"], rtol=1e-5, atol=1e-6 / tau)


@pytest.mark.parametrize(
    "replicas, tile_size", [(2, None), (2, 1), pytest.param(4, 3, marks=pytest.mark.slow)]
)
def test_replicas_agree_with_one_device(replicas, tile_size):
    random = np.random.default_rng(2)
    z, weight = random.normal(size=(8, 3, 5)), random.uniform(0.1, 3, size=8)
    expected = evaluate(z, 0.1, -3, weight, **DENSE)
    form = "tiled" if tile_size else "dense"
    loss = SigmoidContrastiveLoss(implementation=form, tile_size=tile_size)
    strategy, share = mirrored(replicas), 8 // replicas

    def part(array):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(array[context.replica_id_in_sync_group * share :][:share])
        )

    tau, bias = tf.constant(0.1, tf.float64), tf.constant(-3, tf.float64)
    one = functools.partial(step, loss)
    run = tf.function(lambda *args: strategy.run(one, args), autograph=False)
    found = run(part(z), tau, bias, part(weight / 8))
    local = {name: strategy.experimental_local_results(value) for name, value in found.items()}
    ours = {
        name: sum(values) if values[0].shape.rank == 0 else np.concatenate(values)
        for name, values in local.items()
    }
    assert_agrees(ours, expected, 1e-12)


def test_no_array_grows_with_the_square_of_the_batch():
    loss = SigmoidContrastiveLoss(implementation="tiled", tile_size=32)

    def largest_array(batch):
        shapes = [tf.TensorSpec(shape) for shape in ([batch, 2, 16], [], [], [batch])]
        compiled = tf.function(functools.partial(step, loss), jit_compile=True)
        program = compiled.experimental_get_compiler_ir(*shapes)(stage="hlo")
        sizes = re.findall(r"[a-z]\d+\[([\d,]+)\]", program)
        return max(np.prod([int(side) for side in shape.split(",")]) for shape in sizes)

    # Where nothing is larger than the embeddings themselves, all is linear.
    assert largest_array(1024) <= 1024 * 2 * 16
    assert largest_array(2048) <= 2048 * 2 * 16


def test_large_batch_takes_tiles_and_agrees_with_the_dense_form():
    random = np.random.default_rng(4)
    z = random.normal(size=(700, 2, 64))
    z[:, 1] += z[:, 0]
    expected = evaluate(z, 0.1, -10, **DENSE)
    assert_agrees(evaluate(z.astype("float32"), 0.1, -10), expected, 1e-5)


def test_is_a_keras_loss():
    loss = SigmoidContrastiveLoss(0.2, -4.0, tile_size=3, dtype="float64")
    pairs = np.random.default_rng(5).normal(size=(5, 2, 4))
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == loss.get_config()
    weight = np.array([0.0, 1, 2, 0, 1])
    expected = np.mean(weight * reference.sigmoid_loss(pairs, 0.2, -4)["loss"])
    for one in (loss, again):
        ours = one(None, pairs, sample_weight=weight)
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_bad_input_is_named():
    for arguments, words in (
        ({"temperature": 0}, "temperature: expected a number above 0, received 0"),
        ({"bias": float("nan")}, "bias: expected a finite number, received nan"),
        ({"implementation": "tiles"}, "implementation: received 'tiles'"),
    ):
        with pytest.raises(InputError, match=words):
            SigmoidContrastiveLoss(**arguments)
    loss = SigmoidContrastiveLoss()
    with pytest.raises(InputError, match=r"\[B, V \+ 1, D\].*received \(4, 8\)"):
        loss(None, tf.ones([4, 8]))
    with pytest.raises(InputError, match="at least 2 images"):
        loss(None, tf.ones([1, 2, 8]))
