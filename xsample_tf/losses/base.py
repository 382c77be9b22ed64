"""The base class of losses over a similarity graph."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.graphs import SimilarityGraph
from xsample_tf.losses import cross_replica, functional


class ContrastiveLoss(keras.losses.Loss):
    """What the losses over a graph have in common: settings, checks, serialisation."""

    def __init__(
        self,
        graph: SimilarityGraph,
        temperature: float,
        target_temperature: float | None,
        implementation: str,
        tile_size: int | None,
        reduction: str,
        name: str,
        dtype: str | None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype or "float32")
        if not isinstance(graph, SimilarityGraph):
            raise InputError(
                f"graph: expected a SimilarityGraph, as graphs.CosineGraph(), received {graph!r}"
            )
        functional.check_temperature(temperature)
        functional.target_temperature_of(target_temperature, graph)
        functional.check_implementation(implementation, tile_size)
        self.graph = graph
        self.temperature = temperature
        self.target_temperature = target_temperature
        self.implementation = implementation
        self.tile_size = tile_size

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        """Returns the reduced loss; y_true may be None where the graph needs nothing."""
        if y_true is None and self.graph.features == "index":
            y_true = tf.zeros(tf.shape(y_pred)[:1])
        elif y_true is None:
            raise InputError(
                f"{type(self.graph).__name__}: expected {self.graph.features!r} [B, ...] as "
                "y_true, received None"
            )
        elif _is_text(y_true):
            raise InputError(
                f"{type(self.graph).__name__}: expected {self.graph.features!r} as numbers, "
                "received strings"
            )
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss `[B]` of embeddings `[B, V, D]` and side information `[B, ...]`."""
        if self.reduction == "mean_with_sample_weight" and cross_replica.count() > 1:
            raise InputError(
                "reduction: expected sum_over_batch_size, mean, sum or none on several replicas, "
                "received mean_with_sample_weight, which divides by each replica's own weights"
            )
        return self.rows(y_true, y_pred)[0]

    def rows(
        self, side: Any, embeddings: tf.Tensor, temperature: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Returns the loss `[B]` and the statistics `[B]` of the rows.

        A temperature that is given counts instead of the loss's own.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = ("temperature", "target_temperature", "implementation", "tile_size", "dtype")
        return {
            **super().get_config(),
            "graph": keras.saving.serialize_keras_object(self.graph),
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "ContrastiveLoss":
        """Builds the loss from `get_config`'s result."""
        graph = keras.saving.deserialize_keras_object(config["graph"])
        return cls(**{**config, "graph": graph})


def _is_text(value: Any) -> bool:
    dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
    return tf.as_dtype(dtype) == tf.string
