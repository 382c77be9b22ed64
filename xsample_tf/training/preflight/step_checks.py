"""One step of the run's model: on several replicas, compiled, and in the run's precision."""

import dataclasses
import math
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.training.execution import compile_step, precision_policy
from xsample_tf.training.preflight.check import Check
from xsample_tf.training.preflight.setting import NOT_SPLIT, OpenedRun

# Of the norm, in float64. An untrained ResNet amplifies float32's rounding to 1e-2 of the step, on
# one device too: the order of the images is enough.
_UPDATE_BOUND, _STATISTICS_BOUND = 1e-4, 1e-6
_EPSILON = {"bfloat16": 2.0**-7, "float16": 2.0**-10}
# For the same reason rounding turns such a network's gradient, but it keeps its length.
_LENGTH_BOUND = 0.5


@dataclasses.dataclass(frozen=True)
class Step:
    """What one step of plain gradient descent changed.

    Attributes:
        update: `[W]`, of the trained weights.
        statistics: `[S]`, of batch norm's averages.
        kernels: The number of weights that something is multiplied with in a matrix product.
    """

    update: np.ndarray
    statistics: np.ndarray
    kernels: int


def take_step(
    setting: OpenedRun, strategy: tf.distribute.Strategy, policy: str, compiled: bool = False
) -> Step:
    """One step of `fit` on the run's first images, at a small size; same weights each time."""
    objective = setting.small()
    form = "tiled" if strategy.num_replicas_in_sync > 1 else "dense"
    loss = setting.loss(implementation=form, tile_size=3)
    model = setting.model(
        objective, strategy, policy, compiled, lambda: keras.optimizers.SGD(1.0), loss
    )
    before = [np.array(weight) for weight in model.weights]
    model.fit(objective.make_stream(), steps_per_epoch=1, shuffle=False, verbose=0)
    trained = {id(weight) for weight in model.trainable_weights}
    changes = {True: [np.zeros(0)], False: [np.zeros(0)]}
    for weight, value in zip(model.weights, before, strict=True):
        changes[id(weight) in trained].append(np.ravel(np.array(weight) - value))
    return Step(
        np.concatenate(changes[True]),
        np.concatenate(changes[False]),
        sum(len(weight.shape) > 1 for weight in model.trainable_weights),
    )


def check_replicas(setting: OpenedRun, step: Callable[..., Step]) -> Iterator[Check]:
    """A step on several replicas against one device, and the statistics of batch norm."""
    name, norm = f"train step, {setting.several_name}", f"batch norm, {setting.several_name}"
    if setting.several is None:
        yield Check(name, note=NOT_SPLIT)
        yield Check(norm, note=NOT_SPLIT)
        return
    one = step(tf.distribute.get_strategy(), "float64")
    several = step(setting.several, "float64")
    yield Check(name, _distance(several.update, one.update), _UPDATE_BOUND)
    if len(one.statistics):
        yield Check(norm, _distance(several.statistics, one.statistics), _STATISTICS_BOUND)
    else:
        yield Check(norm, note="the model has none")


def check_compiled(setting: OpenedRun, step: Callable[..., Step]) -> Iterator[Check]:
    """A step compiled by XLA against one that is not, on one device."""
    one_device = tf.distribute.get_strategy()
    plain, compiled = (step(one_device, "float64", compiled) for compiled in (False, True))
    error = _distance(compiled.update, plain.update)
    yield Check("train step, compiled by XLA, one device", error, _UPDATE_BOUND)


def check_precision(setting: OpenedRun, step: Callable[..., Step]) -> Iterator[Check]:
    """A step in the run's precision, or in what the device has, against float32."""
    options = setting.options
    policy = precision_policy(options)
    if policy == "float32":
        policy = precision_policy(dataclasses.replace(options, precision="auto"))
    if policy == "float32":
        yield Check("bfloat16", note="the run computes in float32, as --precision=auto would here")
        return
    epsilon = _EPSILON[keras.DTypePolicy(policy).compute_dtype]
    replicas = setting.strategy.num_replicas_in_sync
    compiled, _ = compile_step(options)
    exact = step(tf.distribute.get_strategy(), "float32")
    rounded = step(setting.strategy, policy, compiled)
    name = f"{policy}, {'one device' if replicas == 1 else setting.several_name}"
    if len(exact.statistics):
        error = _distance(rounded.statistics, exact.statistics)
        yield Check(f"batch norm, {name}", error, epsilon * math.sqrt(exact.kernels))
    lengths = [np.linalg.norm(one.update) for one in (rounded, exact)]
    error = max(lengths) / min(lengths) - 1 if min(lengths) else math.inf
    cosine = rounded.update @ exact.update / np.prod(lengths)
    note = f"the gradients' cosine is {cosine:.2f}"
    yield Check(f"length of the step, {name}", error, _LENGTH_BOUND, note)


def _distance(values: np.ndarray, exact: np.ndarray) -> float:
    """The norm of the difference, as a share of what is expected."""
    return float(np.linalg.norm(values - exact) / np.linalg.norm(exact))
