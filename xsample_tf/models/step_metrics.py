"""The metrics of a training step."""

import math
from collections.abc import Mapping

import keras
import tensorflow as tf

from xsample_tf import tensors
from xsample_tf.models.gradient_step import over_replicas

# What is shown of a step: means over images, and over replicas; the number of steps skipped.
METRICS = (
    "loss",
    "kl",
    "target_entropy",
    "effective_positives",
    "own_mass",
    "alignment",
    "uniformity",
    "projection_deviation",
    "substituted",
    "skipped",
)


class FiniteMean(keras.metrics.Mean):
    """A mean that is NaN, not 0, when nothing was finite."""

    def result(self) -> tf.Tensor:
        """Returns the mean of the finite values, a scalar."""
        return tf.where(self.count > 0, super().result(), math.nan)


class ReplicaCount(keras.metrics.Metric):
    """A sum of what happens on all replicas alike, so that one of them counts."""

    def __init__(self, name: str):
        super().__init__(name=name)
        self.total = self.add_variable((), "zeros", aggregation="mean", name="total")

    def update_state(self, value: tf.Tensor) -> None:
        """Adds a scalar that is the same on all replicas."""
        self.total.assign_add(value)

    def result(self) -> tf.Tensor:
        """Returns the sum, a scalar."""
        return tf.convert_to_tensor(self.total)


class Latest(ReplicaCount):
    """The last value, the same on all replicas."""

    def update_state(self, value: tf.Tensor) -> None:
        """Takes a scalar that is the same on all replicas."""
        self.total.assign(value)


def step_metrics(learned_temperature: bool) -> dict[str, keras.metrics.Metric]:
    """Returns the metrics of a model by name, `METRICS` first."""
    kinds = {"loss": FiniteMean, "skipped": ReplicaCount}
    found = {name: kinds.get(name, keras.metrics.Mean)(name) for name in METRICS}
    return found | ({"temperature": Latest("temperature")} if learned_temperature else {})


def show(
    metrics: Mapping[str, keras.metrics.Metric], values: Mapping[str, tf.Tensor], finite: tf.Tensor
) -> None:
    """Takes values into means over images, unless the step's loss is not finite.

    Args:
        metrics: By name.
        values: Of one batch, each `[B]`; a scalar stands for all its images.
        finite: Bool scalar.
    """
    images = tf.shape(values["kl"])[0]
    for name, value in values.items():
        counts = tf.fill(tf.shape(value), tf.cast(finite, tf.float32))
        if value.shape.rank == 0:
            counts *= tf.cast(images, tf.float32)
        metrics[name].update_state(tf.where(finite, value, 0), counts)


def projection_deviation(embeddings: tf.Tensor) -> tf.Tensor:
    """Standard deviation of the normalised projections `[B, V, P]` of all replicas, mean over P.

    It is 1 / sqrt(P) where they fill their P dimensions; a collapse shows as a drop.
    """
    unit = tensors.unit_rows(embeddings)
    moments = [tf.reduce_mean(part, axis=[0, 1]) for part in (unit, tf.square(unit))]
    moments = over_replicas("MEAN", moments)
    return tf.reduce_mean(tf.sqrt(tf.maximum(moments[1] - tf.square(moments[0]), 0)))
