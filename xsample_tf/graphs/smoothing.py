"""The control that smooths SupCon's target evenly."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.graphs.base import GraphData, register
from xsample_tf.graphs.inspection import summarize_target
from xsample_tf.graphs.label import LabelGraph

_HALVINGS = 30


@register("smoothing")
@keras.saving.register_keras_serializable("xsample_tf")
class SmoothingGraph(LabelGraph):
    """Control: 1 for the same label and one constant for all others, as soft as the class graph.

    A run solves the constant so that the mean entropy H(s) of its target is that of the class graph
    at the run's target temperature: SupCon with its labels smoothed evenly.

    Side information: labels `[B]`, as for `LabelGraph`.

    Args:
        off_class: Similarity of images with different labels, in [-1, 1].
        one_hot: As for `LabelGraph`. Defaults to False.

    Raises:
        InputError: A constant out of range.

    Example:
        >>> SmoothingGraph(0.4).similarity(tf.constant([0, 1]), tf.constant([0]))
        [[1.0], [0.4]]
    """

    target_temperature = 0.1

    def __init__(self, off_class: float, one_hot: bool = False):
        super().__init__(one_hot)
        if not -1 <= off_class <= 1:
            raise InputError(
                f"SmoothingGraph: expected `off_class` within [-1, 1], received {off_class!r}"
            )
        self.off_class = float(off_class)

    @classmethod
    def from_data(cls, data: GraphData) -> "SmoothingGraph":
        """Solves the constant on the labels of the stream's first batch."""
        real = data.graph("class")
        temperature = data.target_temperature(real)
        labels = data.side_information(real.features, data.batch_size)
        candidates = data.views, data.exclude_self, data.sides
        entropy = summarize_target(real, labels, temperature, *candidates).entropy
        return cls.with_entropy(entropy, labels, temperature, *candidates)

    @classmethod
    def with_entropy(
        cls,
        entropy: float,
        labels: Any,
        target_temperature: float,
        views: int = 2,
        exclude_self: bool = True,
        sides: int = 1,
    ) -> "SmoothingGraph":
        """Solves the constant for a mean entropy of the target, which rises with it.

        Args:
            entropy: Wanted mean H(s) in nats.
            labels: `[B]`, those of one global batch.
            target_temperature: tau_s of the run, above 0.
            views: Views of each image. Defaults to 2.
            exclude_self: As in the loss. Defaults to True.
            sides: As for `summarize_target`. Defaults to 1.

        Raises:
            InputError: No constant in [-1, 1] gives this entropy, or the temperature is 0.
        """
        if target_temperature <= 0:
            raise InputError(
                "target_temperature: expected a number above 0 for smoothing, received "
                f"{target_temperature:g}, at which no constant softens the target"
            )

        def entropy_at(off_class: float) -> float:
            return summarize_target(
                cls(off_class), labels, target_temperature, views, exclude_self, sides
            ).entropy

        low, high = -1.0, 1.0
        least, most = entropy_at(low), entropy_at(high)
        if not least <= entropy <= most + 1e-6:
            raise InputError(
                f"smoothing: expected an entropy from {least:.3f} to {most:.3f} nats, which this "
                f"batch can reach at target temperature {target_temperature:g}, received "
                f"{entropy:.3f}; raise the target temperature"
            )
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if entropy_at(middle) < entropy else (low, middle)
        return cls(float(np.round((low + high) / 2, 6)))

    def compare(self, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """Returns 1 where labels `[R]` and `[C]` agree, else the constant: `[R, C]`."""
        same = super().compare(rows, columns)
        return same + self.off_class * (1 - same)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "off_class": self.off_class}
