"""Optimizers and schedules against arithmetic written out in NumPy."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from xsample_tf.errors import InputError
from xsample_tf.training import optimizers

SHAPES = {"kernel": (3, 4), "conv": (3, 3, 2, 5), "gamma": (4,), "bias": (2, 3), "scale": ()}
STEPS = 5


def variables(seed: int = 0, dtype: str = "float32") -> list[keras.Variable]:
    generator = np.random.default_rng(seed)
    return [
        keras.Variable(generator.normal(size=shape), dtype=dtype, name=name)
        for name, shape in SHAPES.items()
    ]


def gradients(step: int) -> list[np.ndarray]:
    generator = np.random.default_rng(100 + step)
    return [generator.normal(size=shape).astype(np.float32) for shape in SHAPES.values()]


def values(of: list[keras.Variable]) -> list[np.ndarray]:
    return [np.asarray(v.numpy(), np.float64) for v in of]


def reference_lars(rates, momentum, decay, trust, start=None):
    """LARS as SimCLR defines it, one number at a time, in float64."""
    weights = start or values(variables())
    velocities = [np.zeros_like(w) for w in weights]
    for step, rate in enumerate(rates):
        for i, (name, gradient) in enumerate(zip(SHAPES, gradients(step), strict=True)):
            update, ratio = gradient.astype(np.float64), 1.0
            if name in ("kernel", "conv"):
                update = update + decay * weights[i]
                norms = [math.sqrt(sum(x * x for x in a.flat)) for a in (weights[i], update)]
                ratio = trust * norms[0] / norms[1] if min(norms) > 0 else 1.0
            velocities[i] = momentum * velocities[i] + rate * ratio * update
            weights[i] = weights[i] - velocities[i]
    return weights


def run_steps(optimizer, weights, steps=range(STEPS), jit=False) -> list[np.ndarray]:
    optimizer.build(weights)

    @tf.function(jit_compile=jit)
    def step(given):
        optimizer.apply(given, weights)

    for i in steps:
        step([tf.constant(g) for g in gradients(i)])
    return values(weights)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lars_agrees_with_float64_arithmetic_over_steps(decay, jit):
    schedule = optimizers.warmup_cosine(20.0, total_steps=10, warmup_steps=2)
    rates = [10.0 * s if s < 2 else 10 + 10 * math.cos(math.pi * (s - 2) / 8) for s in range(STEPS)]
    optimizer = optimizers.LARS(schedule, momentum=0.8, weight_decay=decay, trust_coefficient=0.02)
    expected = reference_lars(rates, 0.8, decay, 0.02)
    for got, wanted in zip(run_steps(optimizer, variables(), jit=jit), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_lars_in_float64_is_exact_and_slots_are_float32_at_least():
    optimizer = optimizers.LARS(0.5, weight_decay=0.01)
    start = values(variables(dtype="float64"))
    expected = reference_lars([0.5] * STEPS, 0.9, 0.01, 0.001, start)
    for got, wanted in zip(run_steps(optimizer, variables(dtype="float64")), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
    half = optimizers.LARS(0.5)
    run_steps(half, variables(dtype="bfloat16"))
    assert {slot.dtype for slot in half.velocities} == {"float32"}


def test_lars_by_hand():
    weight = keras.Variable([[3.0], [4.0]], name="kernel")
    bias = keras.Variable([1.0], name="bias")
    optimizer = optimizers.LARS(2.0, momentum=0.5)
    optimizer.apply([tf.constant([[0.0], [10.0]]), tf.constant([0.25])], [weight, bias])
    # |w| = 5, |g| = 10: the gradient is scaled by 2 x 0.001 x 5 / 10 = 0.001.
    np.testing.assert_allclose(weight, [[3.0], [3.99]], rtol=1e-6)
    np.testing.assert_allclose(bias, [0.5])
    optimizer.apply([tf.constant([[0.0], [0.0]]), tf.constant([0.0])])
    np.testing.assert_allclose(weight, [[3.0], [3.985]], rtol=1e-6)
    np.testing.assert_allclose(bias, [0.25])


def test_lars_moves_weights_that_are_zero_and_ignores_no_gradient():
    weight = keras.Variable(np.zeros((2, 2)), name="kernel")
    optimizer = optimizers.LARS(0.1)
    optimizer.apply([tf.zeros((2, 2))], [weight])
    np.testing.assert_array_equal(weight, np.zeros((2, 2)))
    optimizer.apply([tf.ones((2, 2))])
    np.testing.assert_allclose(weight, np.full((2, 2), -0.1))


def test_lars_takes_the_sparse_gradient_of_an_embedding():
    layer = keras.layers.Embedding(5, 3)
    layer.build((1,))
    before = layer.embeddings.numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.constant([1, 1, 2])))
    slices = tape.gradient(loss, layer.trainable_variables)
    assert isinstance(slices[0], tf.IndexedSlices)
    optimizers.LARS(1.0).apply(slices, layer.trainable_variables)
    dense = np.array([0, 2, 1, 0, 0])[:, None] * np.ones(3)
    ratio = 0.001 * np.linalg.norm(before) / np.linalg.norm(dense)
    np.testing.assert_allclose(layer.embeddings, before - ratio * dense, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS.names())
def test_replicas_take_the_step_of_the_summed_gradient(name):
    alone, single = variables(), optimizers.build(name, 0.1, weight_decay=0.5)
    expected = run_steps(single, alone)
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        mirrored = variables()
        optimizer = optimizers.build(name, 0.1, weight_decay=0.5)
        optimizer.build(mirrored)

    @tf.function
    def step(given):
        strategy.run(lambda: optimizer.apply([g / 2 for g in given], mirrored))

    for i in range(STEPS):
        step([tf.constant(g) for g in gradients(i)])
    for got, wanted in zip(values(mirrored), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS.names())
def test_a_checkpoint_restores_the_next_step(name, tmp_path):
    def build():
        weights = variables()
        optimizer = optimizers.build(name, optimizers.warmup_cosine(0.3, 9, 2), weight_decay=0.1)
        optimizer.build(weights)
        objects = {v.name: v.value for v in weights}
        return weights, optimizer, tf.train.Checkpoint(optimizer=optimizer, **objects)

    weights, optimizer, checkpoint = build()
    run_steps(optimizer, weights, range(3))
    path = checkpoint.write(str(tmp_path / "checkpoint"))
    expected = run_steps(optimizer, weights, range(3, 5))
    weights, optimizer, checkpoint = build()
    checkpoint.read(path).assert_consumed()
    assert int(optimizer.iterations.numpy()) == 3
    for got, wanted in zip(run_steps(optimizer, weights, range(3, 5)), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS.names())
def test_a_keras_file_restores_the_next_step(name, tmp_path):
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    model.compile(optimizers.build(name, 0.1, weight_decay=0.1), "mse")
    model.fit(x, x[:, :1], epochs=3, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for each in (model, loaded):
        each.fit(x, x[:, :1], epochs=2, shuffle=False, verbose=0)
    for got, wanted in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("reload", [False, True])
def test_decoupled_decay_leaves_biases_and_norms_alone(name, reload):
    optimizer = optimizers.build(name, 0.1, weight_decay=0.5)
    if reload:
        config = keras.optimizers.serialize(optimizer)
        optimizer = keras.optimizers.deserialize(config)
    weights = variables()
    before = values(weights)
    optimizer.apply([tf.zeros(shape) for shape in SHAPES.values()], weights)
    for shape_name, old, new in zip(SHAPES, before, values(weights), strict=True):
        factor = 1 - 0.1 * 0.5 if shape_name in ("kernel", "conv") else 1.0
        np.testing.assert_allclose(new, factor * old, rtol=1e-6)


def test_attention_and_norm_layers_are_told_from_weights():
    attention = keras.layers.MultiHeadAttention(2, 3)
    attention.build((1, 4, 6), (1, 4, 6))
    norm = keras.layers.BatchNormalization()
    norm.build((1, 6))
    for variable in attention.trainable_variables:
        assert optimizers.is_bias_or_norm(variable) == (variable.name == "bias")
    assert all(optimizers.is_bias_or_norm(variable) for variable in norm.trainable_variables)


def test_build_passes_momentum_and_schedule():
    schedule = optimizers.warmup_cosine(1.0, 10)
    assert optimizers.build("lars", schedule, 1e-6, 0.8).momentum == 0.8
    assert optimizers.build("sgd", 1, 0, 0).momentum == 0.0
    adamw = optimizers.build("adamw", 1e-3, 0.05, 0.8)
    assert (adamw.beta_1, adamw.weight_decay) == (0.8, 0.05)


@settings(max_examples=25, deadline=None)
@given(
    peak=st.floats(1e-4, 10),
    total=st.integers(1, 5000),
    share=st.floats(0, 0.99),
    place=st.floats(0, 1),
)
def test_schedule_is_linear_then_half_a_cosine(peak, total, share, place):
    warmup = min(int(share * total), total - 1)
    step = round(place * total)
    if step < warmup:
        expected = peak * step / warmup
    else:
        expected = peak * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
    schedule = optimizers.warmup_cosine(peak, total, warmup)
    assert float(schedule(step)) == pytest.approx(expected, rel=1e-4, abs=1e-6 * peak)


def test_schedule_at_its_boundaries():
    schedule = optimizers.warmup_cosine(2.0, total_steps=100, warmup_steps=10)
    assert float(schedule(0)) == 0.0
    assert float(schedule(10)) == pytest.approx(2.0)
    assert 0 < float(schedule(99)) < 1e-3
    assert float(schedule(100)) == pytest.approx(0, abs=1e-6) == float(schedule(1000))
    assert float(optimizers.warmup_cosine(2.0, 100)(0)) == 2.0
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert float(again(7)) == float(schedule(7)) == pytest.approx(1.4)


def test_effective_learning_rates():
    assert optimizers.effective_learning_rate(0.3, 4096, "linear") == pytest.approx(4.8)
    assert optimizers.effective_learning_rate(0.075, 1024, "sqrt") == pytest.approx(2.4)
    assert optimizers.effective_learning_rate(0.075, 1024) == 0.075


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: optimizers.build("lar", 0.1),
            "optimizer: received 'lar', did you mean 'lars'",
        ),
        (lambda: optimizers.build("rmsprop", 0.1), "choose from adamw, lars, (\\w+, )*sgd"),
        (lambda: optimizers.build("sgd", 0), "learning_rate: expected a number above 0"),
        (lambda: optimizers.build("sgd", "fast"), "learning_rate: .* received 'fast'"),
        (lambda: optimizers.build("sgd", float("nan")), "learning_rate: .* received nan"),
        (lambda: optimizers.build("sgd", math.inf), "learning_rate: .* received inf"),
        (lambda: optimizers.build("lars", 0.1, -1e-6), "weight_decay: expected a number from 0"),
        (lambda: optimizers.build("adamw", 0.1, None), "weight_decay: .* received None"),
        (lambda: optimizers.build("lars", 0.1, 0, 1), "momentum: .* from 0 and below 1"),
        (lambda: optimizers.LARS(trust_coefficient=0), "trust_coefficient: .* received 0"),
        (lambda: optimizers.warmup_cosine(0.1, 10, 10), "warmup_steps: .* 10 steps, received 10"),
        (lambda: optimizers.warmup_cosine(0.1, 0), "total_steps: .* above 0, received 0"),
        (lambda: optimizers.warmup_cosine(0.1, 10.5), "total_steps: expected a whole number"),
        (lambda: optimizers.warmup_cosine(-1, 10), "learning_rate: .* received -1"),
        (lambda: optimizers.warmup_cosine(1, 10, -1), "warmup_steps: .* received -1"),
        (lambda: optimizers.effective_learning_rate(1, 0, "sqrt"), "batch_size: .* received 0"),
        (lambda: optimizers.effective_learning_rate(1, 8, "squrt"), "did you mean 'sqrt'"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
