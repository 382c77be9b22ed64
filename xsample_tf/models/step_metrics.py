"""The metrics of a training step."""

import math
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from xsample_tf import tensors
from xsample_tf.models.gradient_step import over_replicas

# What is shown of a step after the loss and its statistics: means over images, and over replicas;
# the number of steps skipped.
_OF_ANY_LOSS = ("projection_deviation", "substituted", "skipped")


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


class StepMetrics:
    """The metrics of a model's steps, by name and in the order in which they are shown.

    Args:
        statistics: Names of what is shown of the loss's rows.
        learned: Names of what the model learns beside its weights, such as "temperature".
    """

    def __init__(self, statistics: Sequence[str] = (), learned: Sequence[str] = ()):
        kinds = {"loss": FiniteMean, "skipped": ReplicaCount, **dict.fromkeys(learned, Latest)}
        names = ("loss", *statistics, *_OF_ANY_LOSS, *learned)
        self.by_name = {name: kinds.get(name, keras.metrics.Mean)(name) for name in names}

    def update(self, rows: tf.Tensor, values: Mapping[str, tf.Tensor], finite: tf.Tensor) -> None:
        """Takes values into means over images, unless the step's loss is not finite.

        Args:
            rows: The loss `[B]` of the images.
            values: Of one batch, each `[B]`; a scalar stands for all its images. One that is not
                shown is passed over.
            finite: Bool scalar.
        """
        for name, metric in self.by_name.items():
            if name not in values:
                continue
            value = values[name]
            counts = tf.fill(tf.shape(value), tf.cast(finite, tf.float32))
            if value.shape.rank == 0:
                counts *= tf.cast(tf.shape(rows)[0], tf.float32)
            metric.update_state(tf.where(finite, value, 0), counts)


def projection_deviation(embeddings: tf.Tensor) -> tf.Tensor:
    """Standard deviation of the normalised projections `[B, V, P]` of all replicas, mean over P.

    It is 1 / sqrt(P) where they fill their P dimensions; a collapse shows as a drop.
    """
    unit = tensors.unit_rows(embeddings)
    moments = [tf.reduce_mean(part, axis=[0, 1]) for part in (unit, tf.square(unit))]
    moments = over_replicas("MEAN", moments)
    return tf.reduce_mean(tf.sqrt(tf.maximum(moments[1] - tf.square(moments[0]), 0)))
