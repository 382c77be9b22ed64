"""The cross-sample contrastive loss for Keras: one engine, any similarity graph."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.graphs import CosineGraph, InstanceGraph, SimilarityGraph
from xsample_tf.losses import replicas, rows


class _GraphLoss(keras.losses.Loss):
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
        rows.check_temperature(temperature)
        rows.target_temperature_of(target_temperature, graph)
        rows.check_implementation(implementation, tile_size)
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
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss `[B]` of embeddings `[B, V, D]` and side information `[B, ...]`."""
        if self.reduction == "mean_with_sample_weight" and replicas.count() > 1:
            raise InputError(
                "reduction: expected sum_over_batch_size, mean, sum or none on several replicas, "
                "received mean_with_sample_weight, which divides by each replica's own weights"
            )
        return self.rows(y_true, y_pred)[0]

    def rows(self, side: Any, embeddings: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Returns the loss `[B]` and the statistics `[B]` of the rows."""
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
    def from_config(cls, config: Mapping[str, Any]) -> "_GraphLoss":
        """Builds the loss from `get_config`'s result."""
        graph = keras.saving.deserialize_keras_object(config["graph"])
        return cls(**{**config, "graph": graph})


@keras.saving.register_keras_serializable("xsample_tf")
class XSampleContrastiveLoss(_GraphLoss):
    """X-Sample contrastive loss for `model.compile(loss=...)` (arXiv 2407.18134).

    `y_pred` is float `[B, V, D]`, the embeddings of V views of each image, normalised inside;
    `y_true` is `[B, ...]`, what the graph needs. `call` returns `[B]`, the mean over an image's
    views, so that Keras applies `sample_weight`, the reduction and the scale of replicas as it does
    for any loss. On several replicas the candidates are those of all.

    Args:
        graph: How the images relate; default `CosineGraph()`, caption vectors `[B, T]`.
        temperature: tau > 0 of the predicted softmax.
        target_temperature: tau_s >= 0 of the target softmax; None takes the graph's own.
        exclude_self: Whether a view is left out of its own candidates in both softmaxes.
        implementation: "dense" writes every matrix out; "tiled" computes the same in memory linear
            in the batch; "auto" takes tiles from 1,024 views on, where the batch's shape is known.
        tile_size: Images in a tile; None suits the device.
        reduction: As in Keras; `mean_with_sample_weight` on one replica only.
        name: As in Keras.
        dtype: "float64" computes in float64; anything else in float32.

    Raises:
        InputError: An argument out of range, or unknown; at the call, as `contrastive_rows`.

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
        tile_size: int | None = None,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(
            CosineGraph() if graph is None else graph,
            temperature,
            target_temperature,
            implementation,
            tile_size,
            reduction,
            name or "x_sample_contrastive",
            dtype,
        )
        self.exclude_self = exclude_self

    def rows(self, side: Any, embeddings: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """`contrastive_rows` with this loss's settings: loss `[B]` and statistics `[B]`."""
        return rows.contrastive_rows(
            embeddings,
            side,
            self.graph,
            self.temperature,
            self.target_temperature,
            self.exclude_self,
            self.implementation,
            self.tile_size,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "exclude_self": self.exclude_self}


@keras.saving.register_keras_serializable("xsample_tf")
class ImageTextContrastiveLoss(_GraphLoss):
    """Two-sided loss of images and texts: CLIP's (arXiv 2103.00020), or with soft targets.

    `y_pred` is float `[B, 2, D]`, the embeddings of an image and of its text, normalised inside;
    `y_true` is `[B, ...]`, what the graph needs. `call` returns `[B]`, the mean of image to text
    and text to image. A Keras loss cannot own a variable: a model that learns the temperature calls
    `image_text_rows` with a scalar tensor instead.

    Args:
        graph: Which texts are an image's; default `InstanceGraph()`, its own alone, which ignores
            `y_true`. `CosineGraph()` of caption vectors gives soft targets.
        temperature: tau > 0 of the predicted softmaxes.
        target_temperature: tau_s >= 0 of the target softmax; None takes the graph's own.
        implementation: As for `XSampleContrastiveLoss`.
        tile_size: As for `XSampleContrastiveLoss`.
        reduction: As for `XSampleContrastiveLoss`.
        name: As in Keras.
        dtype: As for `XSampleContrastiveLoss`.

    Raises:
        InputError: An argument out of range, or unknown; at the call, as `image_text_rows`.

    Example:
        >>> loss = ImageTextContrastiveLoss()
        >>> loss(tf.zeros([8]), tf.stack([image_embeddings, text_embeddings], axis=1))
    """

    def __init__(
        self,
        graph: SimilarityGraph | None = None,
        temperature: float = 0.07,
        target_temperature: float | None = None,
        implementation: str = "auto",
        tile_size: int | None = None,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(
            InstanceGraph() if graph is None else graph,
            temperature,
            target_temperature,
            implementation,
            tile_size,
            reduction,
            name or "image_text_contrastive",
            dtype,
        )

    def rows(self, side: Any, embeddings: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """`image_text_rows` with this loss's settings: loss `[B]` and statistics `[B]`."""
        return rows.image_text_rows(
            embeddings,
            side,
            self.graph,
            self.temperature,
            self.target_temperature,
            self.implementation,
            self.tile_size,
        )
