"""The cross-sample contrastive loss for Keras: one engine, any similarity graph."""

from typing import Any

import keras
import tensorflow as tf

from xsample_tf.graphs import CosineGraph, SimilarityGraph
from xsample_tf.losses import functional
from xsample_tf.losses.base import GraphLoss


@keras.saving.register_keras_serializable("xsample_tf")
class XSampleContrastiveLoss(GraphLoss):
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

    def rows(
        self, side: Any, embeddings: tf.Tensor, temperature: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """`contrastive_rows` with this loss's settings: loss `[B]` and statistics `[B]`.

        Args:
            side: What the graph needs, `[B, ...]`.
            embeddings: As for `contrastive_rows`.
            temperature: tau, a scalar tensor, which receives its gradient. Defaults to None, the
                loss's own.
        """
        return functional.contrastive_rows(
            embeddings,
            side,
            self.graph,
            self.temperature if temperature is None else temperature,
            self.target_temperature,
            self.exclude_self,
            self.implementation,
            self.tile_size,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "exclude_self": self.exclude_self}
