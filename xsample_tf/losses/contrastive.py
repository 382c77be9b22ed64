"""The cross-sample contrastive loss: one engine, any similarity graph."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError, suggest
from xsample_tf.graphs import CosineGraph, SimilarityGraph
from xsample_tf.losses.dense import dense_rows

IMPLEMENTATIONS = ("auto", "dense")


def contrastive_rows(
    embeddings: tf.Tensor,
    side: tf.Tensor | None,
    graph: SimilarityGraph,
    temperature: float | tf.Tensor = 0.1,
    target_temperature: float | None = None,
    exclude_self: bool = True,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """The loss of each image, with the statistics of its target (arXiv 2407.18134, section 3).

    With views i of all images, unit embeddings z, graph G, temperatures tau and tau_s:
    `p_ij = softmax_j(z_i.z_j / tau)`, `s_ij = softmax_j(G_ij / tau_s)` and the loss of view i is
    `-sum_j s_ij log p_ij`, where j runs over all other views of the batch. Views of one image have
    similarity 1 whatever the graph says. The target takes no gradient.

    Args:
        embeddings: Float `[B, V, D]`, normalised inside; float64 is computed in float64, anything
            else in float32.
        side: `[B, ...]`, what the graph needs; ignored by a graph of indices.
        graph: How the images relate.
        temperature: tau, a number or a scalar tensor, which receives its gradient.
        target_temperature: tau_s; None takes the graph's own, 0 is the softmax's limit: uniform
            over the candidates within 1e-4 of the most similar one.
        exclude_self: Whether a view is left out of its own candidates in both softmaxes.

    Returns:
        The loss `[B]` in nats, mean over the image's views, and row statistics `[B]`:
        "target_entropy" H(s) in nats, so that loss - H(s) is the KL divergence, and "own_mass", the
        target's mass on the image's own other views.

    Raises:
        InputError: Shapes that do not fit, a temperature out of range, a batch of one, or, when
            eager, side information with values that the graph cannot use.

    Example:
        >>> z, captions = tf.random.normal([8, 2, 128]), tf.random.normal([8, 384])
        >>> loss, statistics = contrastive_rows(z, captions, graphs.CosineGraph())
        >>> loss.shape, (loss - statistics["target_entropy"]).numpy().min() >= 0
        (TensorShape([8]), True)
    """
    embeddings = tf.convert_to_tensor(embeddings)
    dtype = tf.float64 if embeddings.dtype == tf.float64 else tf.float32
    embeddings = tf.cast(embeddings, dtype)
    if not tf.is_tensor(temperature):
        _check_temperature(temperature)
        # By way of float32, 0.1 would lose eight digits in float64.
        temperature = tf.constant(temperature, dtype)
    target_temperature = _target_temperature(target_temperature, graph)
    side = _side_information(embeddings, side, graph)
    similarity = tf.cast(graph.similarity(side, side), dtype)
    similarity = tf.linalg.set_diag(similarity, tf.ones_like(tf.linalg.diag_part(similarity)))
    loss, statistics = dense_rows(
        _unit(embeddings),
        similarity,
        tf.cast(temperature, dtype)
        if tf.is_tensor(temperature)
        else tf.constant(temperature, dtype),
        target_temperature,
        exclude_self,
    )
    return (
        tf.reduce_mean(loss, axis=1),
        {name: tf.reduce_mean(value, axis=1) for name, value in statistics.items()},
    )


@keras.saving.register_keras_serializable("xsample_tf")
class XSampleContrastiveLoss(keras.losses.Loss):
    """X-Sample contrastive loss for `model.compile(loss=...)` (arXiv 2407.18134).

    `y_pred` is float `[B, V, D]`, the embeddings of V views of each image, normalised inside;
    `y_true` is `[B, ...]`, what the graph needs. `call` returns `[B]`, the mean over an image's
    views, so that Keras applies `sample_weight` and the reduction as it does for any loss.

    Args:
        graph: How the images relate; default `CosineGraph()`, caption vectors `[B, T]`.
        temperature: tau > 0 of the predicted softmax.
        target_temperature: tau_s >= 0 of the target softmax; None takes the graph's own.
        exclude_self: Whether a view is left out of its own candidates in both softmaxes.
        implementation: "dense" writes every matrix out; "auto" chooses by size.
        reduction: As in Keras.
        name: As in Keras.
        dtype: "float64" computes in float64; anything else in float32.

    Raises:
        InputError: An argument out of range, or unknown.

    Example:
        >>> loss = XSampleContrastiveLoss()
        >>> loss(tf.random.normal([8, 384]), tf.random.normal([8, 2, 128]))  # captions, embeddings
    """

    def __init__(
        self,
        graph: SimilarityGraph | None = None,
        temperature: float = 0.1,
        target_temperature: float | None = None,
        exclude_self: bool = True,
        implementation: str = "auto",
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(
            name=name or "x_sample_contrastive", reduction=reduction, dtype=dtype or "float32"
        )
        self.graph = CosineGraph() if graph is None else graph
        if not isinstance(self.graph, SimilarityGraph):
            raise InputError(
                f"graph: expected a SimilarityGraph, as graphs.CosineGraph(), received {graph!r}"
            )
        _check_temperature(temperature)
        _target_temperature(target_temperature, self.graph)
        if implementation not in IMPLEMENTATIONS:
            raise InputError(
                f"implementation: received {implementation!r}, "
                f"{suggest(str(implementation), IMPLEMENTATIONS)}"
            )
        self.temperature = temperature
        self.target_temperature = target_temperature
        self.exclude_self = exclude_self
        self.implementation = implementation

    def rows(self, side: Any, embeddings: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """`contrastive_rows` with this loss's settings: loss `[B]` and statistics `[B]`."""
        return contrastive_rows(
            embeddings,
            side,
            self.graph,
            self.temperature,
            self.target_temperature,
            self.exclude_self,
        )

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss `[B]` of embeddings `[B, V, D]` and side information `[B, ...]`."""
        return self.rows(y_true, y_pred)[0]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "graph": keras.saving.serialize_keras_object(self.graph),
            "temperature": self.temperature,
            "target_temperature": self.target_temperature,
            "exclude_self": self.exclude_self,
            "implementation": self.implementation,
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "XSampleContrastiveLoss":
        """Builds the loss from `get_config`'s result."""
        graph = keras.saving.deserialize_keras_object(config["graph"])
        return cls(**{**config, "graph": graph})


def _unit(embeddings: tf.Tensor) -> tf.Tensor:
    # A zero embedding has no direction: it stays zero and its gradient stays finite.
    tiny = tf.cast(1e-24, embeddings.dtype)
    square = tf.reduce_sum(tf.square(embeddings), axis=-1, keepdims=True)
    return embeddings * tf.math.rsqrt(tf.maximum(square, tiny))


def _check_temperature(temperature: float) -> None:
    if not (math.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature: expected a number above 0, received {temperature}")


def _target_temperature(target_temperature: float | None, graph: SimilarityGraph) -> float:
    if target_temperature is None:
        return graph.target_temperature
    if not (math.isfinite(target_temperature) and target_temperature >= 0):
        raise InputError(
            f"target_temperature: expected 0 or a number above, received {target_temperature}"
        )
    return target_temperature


def _side_information(
    embeddings: tf.Tensor, side: tf.Tensor | None, graph: SimilarityGraph
) -> tf.Tensor:
    """Checks that shapes, and eagerly values, fit; supplies the index to graphs that need it."""
    shape = embeddings.shape
    if shape.rank != 3:
        raise InputError(
            f"expected embeddings [B, V, D], V views of each image, received {shape}; "
            f"for two batches of views use tf.stack([first, second], axis=1)"
        )
    if shape[0] == 1:
        raise InputError("expected a batch of at least 2 images, received 1: nothing to contrast")
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        raise InputError(
            "expected one replica, received "
            f"{tf.distribute.get_strategy().num_replicas_in_sync}: this version computes the loss "
            "on one device; train without a multi-device strategy"
        )
    if graph.features == "index":
        if shape[1] == 1:
            raise InputError(
                f"{type(graph).__name__}: expected at least 2 views of each image, received 1: an "
                "image would have no positive"
            )
        return tf.range(tf.shape(embeddings)[0])
    if side is None:
        raise InputError(f"{type(graph).__name__}: expected {graph.features!r} [B, ...], got None")
    side = tf.convert_to_tensor(side)
    if (
        side.shape.rank == 0
        or None not in (side.shape[:1] + shape[:1]).as_list()
        and (side.shape[0] != shape[0])
    ):
        raise InputError(
            f"expected {graph.features!r} with one row for each of {shape[0]} images, "
            f"received {side.shape}"
        )
    if tf.executing_eagerly():
        graph.check(side)
    return side
