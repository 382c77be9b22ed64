"""What Keras's `Optimizer.apply` does besides the update, against a plain Keras model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import door
from helpers.strategies import mirrored

from xsample_tf.errors import InputError
from xsample_tf.losses import XSampleContrastiveLoss

STEPS = 4


class OwnApply(keras.optimizers.SGD):
    """Layer-wise rates, as people write them: the first layer is frozen by a rate of 0."""

    def apply(self, grads, trainable_variables=None):
        variables = trainable_variables or self._trainable_variables
        grads = [
            g * (0.0 if "first" in v.path else 1.0) for g, v in zip(grads, variables, strict=True)
        ]
        return super().apply(grads, trainable_variables)


class OwnApplyGradients(keras.optimizers.SGD):
    def apply_gradients(self, grads_and_vars):
        return super().apply_gradients(
            [(g * (0.5 if "first" in v.path else 1.0), v) for g, v in grads_and_vars]
        )


class Lookahead(keras.optimizers.SGD):
    """One optimizer within another, which counts its own iterations."""

    def __init__(self, inner, **arguments):
        super().__init__(1.0, **arguments)
        self.inner = inner

    def build(self, variables):
        super().build(variables)
        self.inner.build(variables)

    def apply(self, grads, trainable_variables=None):
        self.inner.apply(grads, trainable_variables)
        super().apply([0 * g for g in grads], trainable_variables)


def by_layer():
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            {"first": keras.optimizers.SGD(0.1)},
            default_optimizer=keras.optimizers.Adam(0.01),
        )
    )


SGD = keras.optimizers.SGD
CASES = {
    "apply": (lambda: OwnApply(0.1), {}),
    "apply_gradients": (lambda: OwnApplyGradients(0.1), {}),
    "another optimizer": (lambda: Lookahead(keras.optimizers.Adam(0.01)), {}),
    "_backend_update_step": (lambda: keras.optimizers.Nadam(0.01), {}),
    "accumulation": (lambda: SGD(0.1, gradient_accumulation_steps=2, global_clipnorm=0.1), {}),
    "averages": (lambda: SGD(0.1, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=3), {}),
    "a constraint": (lambda: SGD(0.1), {"kernel_constraint": keras.constraints.MaxNorm(0.5)}),
    "loss_scale_factor": (lambda: SGD(0.1, loss_scale_factor=256.0, weight_decay=0.1), {}),
    "a schedule": (lambda: SGD(keras.optimizers.schedules.CosineDecay(0.1, 5)), {}),
    "float8": (lambda: SGD(0.1), {"float8": True}),
}


def made(float8=False, **arguments):
    encoder = door.encoder(**arguments)
    if float8:
        for name in ("first", "second"):
            encoder.get_layer(name).quantize("float8")
    return encoder


def steps(model):
    views, captions = door.arrays(door.ROWS * STEPS)
    model.fit(views, captions, batch_size=door.ROWS, shuffle=False, verbose=0)


@pytest.mark.parametrize("name", CASES)
def test_hooks_act_as_in_plain_keras_on_one_replica_and_two(name):
    optimizer, arguments = CASES[name]
    plain_encoder = made(**arguments)
    before = door.values(plain_encoder)
    eager = name != "float8"  # Which Keras has for graphs only.
    steps(door.plain(plain_encoder, None, optimizer(), run_eagerly=eager))
    expected = door.values(plain_encoder)
    moved = [not np.array_equal(a, b) for a, b in zip(before, expected, strict=True)]
    assert any(moved) and (name != "apply" or not all(moved))
    # float8 keeps two bits of a gradient, so that rounding may turn either way.
    close = {"rtol": 0.02, "atol": 2e-3} if name == "float8" else {"rtol": 2e-4, "atol": 2e-6}
    for replicas in (1, 2):
        with (mirrored(2) if replicas > 1 else tf.distribute.get_strategy()).scope():
            model = door.model(None, optimizer(), made=made(**arguments))
        steps(model)
        for variable, wanted in zip(model.encoder.variables, expected, strict=True):
            np.testing.assert_allclose(np.array(variable), wanted, **close, err_msg=variable.path)
        assert int(np.array(model.optimizer._iterations)) == STEPS
        for slot in model.optimizer.variables:
            for copy in getattr(slot.value, "values", [slot.value]):
                np.testing.assert_array_equal(np.array(copy), np.array(slot), err_msg=slot.path)


def test_float8_scales_in_microbatches_are_those_of_the_whole_batch():
    found = []
    for size in (None, 2):
        model = door.model(made=made(float8=True), microbatch_size=size)
        steps(model)
        found.append([np.array(v) for v in model.encoder.variables if v.overwrite_with_gradient])
    assert len(found[0]) == 12
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_batch_that_is_not_finite_adds_nothing_to_an_accumulated_update(replicas):
    views, captions = door.arrays(4 * door.ROWS)
    views[3 * door.ROWS] = np.nan  # In the batch with which an update is due.
    with (mirrored(2) if replicas > 1 else tf.distribute.get_strategy()).scope():
        model = door.model(optimizer=SGD(0.1, gradient_accumulation_steps=2))
    twin = door.model(optimizer=SGD(0.05), compiled={"run_eagerly": True})
    fed = {"batch_size": door.ROWS, "shuffle": False, "verbose": 0}
    whole = slice(0, 2 * door.ROWS)
    model.fit(views[whole], captions[whole], **fed)
    twin.encoder.set_weights(model.encoder.get_weights())
    rest, half = slice(2 * door.ROWS, None), slice(2 * door.ROWS, 3 * door.ROWS)
    assert model.fit(views[rest], captions[rest], **fed).history["skipped"] == [1]
    twin.fit(views[half], captions[half], **fed)
    for one, two in zip(door.values(model.encoder), door.values(twin.encoder), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_an_optimizer_of_other_variables_says_so_as_in_keras():
    views, captions = door.arrays()
    model = door.model(compiled={"run_eagerly": True})
    model.encoder.get_layer("first").trainable = False
    optimizer = SGD(0.1)
    model.compile(optimizer, XSampleContrastiveLoss())
    model.fit(views, captions, verbose=0)
    model.encoder.get_layer("first").trainable = True
    for again in (lambda: None, lambda: model.compile(optimizer, XSampleContrastiveLoss())):
        again()
        with pytest.raises(ValueError, match="Unknown variable.*recreate a new optimizer"):
            model.fit(views, captions, verbose=0)


def test_what_cannot_be_followed_is_refused_at_compile():
    class Own(keras.optimizers.LossScaleOptimizer):
        def apply(self, grads, trainable_variables=None):
            return super().apply(grads, trainable_variables)

    with pytest.raises(InputError, match="received Own with its own apply"):
        door.model(optimizer=Own(SGD(0.1)))
    with pytest.raises(InputError, match="loss_weights: expected none.*received \\[0.5\\]"):
        door.model(compiled={"loss_weights": [0.5]})
    outside = SGD(0.1)
    with (
        mirrored(2).scope(),
        pytest.raises(InputError, match="optimizer made within MirroredStrategy.scope"),
    ):
        door.model(optimizer=outside)
