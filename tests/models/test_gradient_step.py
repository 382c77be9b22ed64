"""The order of a step: reduce, unscale, check, clip, apply; the same on every replica."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.strategies import mirrored

from xsample_tf.losses import XSampleContrastiveLoss
from xsample_tf.models import XSampleModel
from xsample_tf.models.gradient_step import REPLICATED
from xsample_tf.training import optimizers

BATCH, RATE = 8, 0.5
RANDOM = np.random.default_rng(0)
VIEWS = RANDOM.uniform(size=(BATCH, 2, 4, 4, 3)).astype(np.float32)
CAPTIONS = RANDOM.normal(size=(BATCH, 5)).astype(np.float32)


class Overflowing(keras.layers.Layer):
    """Hands values on; the backward pass overflows for images whose first pixel is dark."""

    def call(self, inputs):
        images, values = inputs
        factor = tf.where(images[:, 0, 0, :1] > 0.75, 1.0, np.inf)

        @tf.custom_gradient
        def overflowing(x):
            return tf.identity(x), lambda gradient: gradient * tf.cast(factor, gradient.dtype)

        return overflowing(values)


def model_under(strategy, optimizer=None, policy="float32", norm=False, **arguments):
    """A model on that strategy, whose optimizer is made in its scope."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    try:
        with strategy.scope():
            images = keras.Input((4, 4, 3))
            x = keras.layers.Conv2D(6, 3, kernel_regularizer=keras.regularizers.L2(0.05))(images)
            if norm:
                x = keras.layers.BatchNormalization(synchronized=True)(x)
            x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
            encoder = keras.Model(images, Overflowing()([images, x]))
            model = XSampleModel(encoder)
            optimizer = optimizer() if optimizer else keras.optimizers.SGD(RATE)
            model.compile(optimizer, XSampleContrastiveLoss(), **arguments)
            model.optimizer.build(model.trainable_variables)
    finally:
        keras.config.set_dtype_policy("float32")
    return model


def batch(*overflowing, poisoned=()):
    """The batch, with images whose gradients, or whose pixels, are not finite."""
    views = VIEWS.copy()
    views[:, :, 0, 0, 0] = 1
    views[list(overflowing), :, 0, 0, 0] = 0.5
    views[list(poisoned)] = np.nan
    return views, {"embedding": CAPTIONS}


class Steps(keras.callbacks.Callback):
    """What each step shows."""

    def __init__(self):
        super().__init__()
        self.logs = []

    def on_train_batch_end(self, batch, logs=None):
        self.logs.append({name: float(value) for name, value in logs.items()})
        self.model.reset_metrics()


def fit(model, *batches, **arguments):
    data = tf.data.Dataset.from_generator(
        lambda: iter(batches),
        output_signature=tf.nest.map_structure(
            lambda x: tf.TensorSpec(x.shape, tf.float32), batches[0]
        ),
    )
    options = tf.data.Options()
    options.autotune.enabled = False  # Else an iterator's end may take a minute.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return model.fit(data.with_options(options), verbose=0, **arguments).history


def values(model):
    """Weights, moving averages and the optimizer's slots, but for its counters."""
    slots = getattr(model.optimizer, "inner_optimizer", model.optimizer).variables
    found = [*model.trainable_variables, *model.encoder.non_trainable_variables]
    found += [slot for slot in slots if slot.name != "iteration"]
    return [np.array(variable) for variable in found]


@pytest.mark.parametrize(
    "replicas, kind",
    [
        (1, "global_clipnorm"),
        (2, "global_clipnorm"),
        pytest.param(4, "global_clipnorm", marks=pytest.mark.slow),  # 6 s.
        (2, "clipnorm"),
        (2, "clipvalue"),
    ],
)
def test_clipping_acts_on_the_sum_over_replicas(replicas, kind):
    limit = 1e-3
    plain, clipped = (
        model_under(mirrored(replicas), lambda given=given: keras.optimizers.SGD(RATE, **given))
        for given in ({}, {kind: limit})
    )
    before = [np.array(weight) for weight in plain.trainable_variables]
    steps = []
    for model in (plain, clipped):
        fit(model, batch())
        steps.append(
            [
                (b - np.array(w)) / RATE
                for b, w in zip(before, model.trainable_variables, strict=True)
            ]
        )
    gradients = [g.astype(np.float64) for g in steps[0]]
    norm = np.sqrt(sum(np.sum(g * g) for g in gradients))
    assert norm > 2 * limit
    expected = {
        "global_clipnorm": [g * limit / norm for g in gradients],
        "clipnorm": [g * min(1, limit / max(np.linalg.norm(g), 1e-12)) for g in gradients],
        "clipvalue": [np.clip(g, -limit, limit) for g in gradients],
    }[kind]
    for ours, wanted in zip(steps[1], expected, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-3, atol=1e-3 * limit)


@pytest.mark.parametrize("image", [0, BATCH - 1])
def test_an_overflow_on_any_replica_skips_the_step_on_all(image):
    results = {}
    for replicas in (1, 2):
        model = model_under(
            mirrored(replicas),
            lambda: keras.optimizers.SGD(RATE, momentum=0.9),
            policy="mixed_float16",
        )
        scale = float(model.optimizer.dynamic_scale.numpy())
        before = values(model)
        history = fit(model, batch(image))
        assert history["skipped"] == [1]
        assert np.isfinite(history["loss"][0])
        for one, two in zip(before, values(model), strict=True):
            np.testing.assert_array_equal(one, two)
        assert float(model.optimizer.dynamic_scale.numpy()) == scale / 2
        history = fit(model, batch(), batch(image), batch())
        assert history["skipped"] == [1]
        assert float(model.optimizer.dynamic_scale.numpy()) == scale / 4
        results[replicas] = values(model)
    for one, two in zip(results[1], results[2], strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("optimizer", ["adamw", "lars", "sgd"])
def test_a_batch_that_is_not_finite_is_skipped_and_counted(replicas, optimizer):
    model, twin = (
        model_under(mirrored(replicas), lambda: optimizers.build(optimizer, 0.01, 0.1), norm=True)
        for _ in range(2)
    )
    before = values(model)
    history = fit(model, batch(poisoned=[BATCH - 1]))
    assert history["skipped"] == [1] and np.isnan(history["loss"][0])
    for one, two in zip(before, values(model), strict=True):
        np.testing.assert_array_equal(one, two)
    # A step is a batch, whether it was taken or not.
    assert int(model.optimizer.iterations.numpy()) == 1
    history = fit(model, batch(), batch(poisoned=[0]), batch())
    assert history["skipped"] == [1]
    alone = fit(twin, batch(), batch())
    assert all(np.isfinite(x).all() for x in values(model))
    if optimizer != "adamw":  # Whose correction of its means counts the steps.
        # What is shown is of the steps that were taken.
        assert history["loss"][0] == pytest.approx(alone["loss"][0], rel=1e-4)
        for one, two in zip(values(model), values(twin), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_every_replica_holds_the_same_values_after_a_step():
    model = model_under(mirrored(2), lambda: optimizers.build("adamw", 0.01, 0.1), norm=True)
    fit(model, batch(), batch(poisoned=[0]), batch())
    for variable in [*model.weights, *model.optimizer.variables]:
        if hasattr(variable.value, "values") and variable.aggregation != "sum":
            first, second = (np.array(value) for value in variable.value.values)
            np.testing.assert_array_equal(first, second, err_msg=variable.path)


def test_accumulation_and_averages_of_weights_work_on_replicas():
    given = {"gradient_accumulation_steps": 2, "use_ema": True, "ema_overwrite_frequency": 3}
    ours, alone = (
        model_under(mirrored(replicas), lambda: keras.optimizers.SGD(RATE, **given))
        for replicas in (2, 1)
    )
    for model in (ours, alone):
        fit(model, *[batch()] * 4)
    for one, two in zip(values(ours), values(alone), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "policy, bits",
    [
        pytest.param("mixed_bfloat16", 8, marks=pytest.mark.slow),  # As float16, 6 s.
        ("mixed_float16", 11),
    ],
)
def test_half_precision_follows_float32_on_two_replicas(policy, bits):
    losses = {}
    for name in ("float32", policy):
        model = model_under(mirrored(2), lambda: keras.optimizers.SGD(0.01), name, norm=True)
        steps = Steps()
        fit(model, *[batch()] * 50, callbacks=[steps])
        assert len(steps.logs) == 50 and not any(logs["skipped"] for logs in steps.logs)
        losses[name] = np.array([logs["loss"] for logs in steps.logs])
    assert losses["float32"][-1] < losses["float32"][0]
    # A cosine carries the error of its embeddings, 2^-bits; two of them meet, and the temperature
    # 0.1 divides.
    error = np.abs(losses[policy] - losses["float32"]).max()
    assert error <= 2 * 2.0**-bits / 0.1


def test_the_scale_is_part_of_a_checkpoint(tmp_path):
    model = model_under(tf.distribute.get_strategy(), policy="mixed_float16")
    fit(model, batch(0), batch())
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(tmp_path / "c"))
    again = model_under(tf.distribute.get_strategy(), policy="mixed_float16")
    tf.train.Checkpoint(model=again, optimizer=again.optimizer).read(path)
    for name in ("dynamic_scale", "step_counter", "iterations"):
        one, two = (np.array(getattr(x.optimizer, name)) for x in (model, again))
        np.testing.assert_array_equal(one, two)


def test_what_is_taken_from_kerass_optimizers_is_still_there():
    for name in (*REPLICATED, "_backend_apply_gradients", "_filter_empty_gradients", "_iterations"):
        assert hasattr(keras.optimizers.SGD(0.1), name), (
            f"Keras {keras.__version__} has no {name}: look at models/gradient_step.py"
        )
