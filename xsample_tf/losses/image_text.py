"""The two-sided loss of images and texts."""

from typing import Any

import keras
import tensorflow as tf

from xsample_tf.graphs import InstanceGraph, SimilarityGraph
from xsample_tf.losses import functional
from xsample_tf.losses.base import GraphLoss


@keras.saving.register_keras_serializable("xsample_tf")
class ImageTextContrastiveLoss(GraphLoss):
    """Two-sided loss of images and texts: CLIP's (arXiv 2103.00020), or with soft targets.

    `y_pred` is float `[B, V + 1, D]`, the embeddings of V >= 1 views of an image and of its text,
    normalised inside; `y_true` is `[B, ...]`, what the graph needs. `call` returns `[B]`, the mean
    of image to text and text to image, and over the views. A Keras loss cannot own a variable:
    `XSampleModel(..., learn_temperature=True)` learns the temperature and hands it to `rows`.

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

    sides = 2

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

    def rows(
        self, side: Any, embeddings: tf.Tensor, temperature: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """`image_text_rows` with this loss's settings: loss `[B]` and statistics `[B]`.

        Args:
            side: What the graph needs, `[B, ...]`.
            embeddings: As for `image_text_rows`.
            temperature: tau, a scalar tensor, which receives its gradient. Defaults to None, the
                loss's own.
        """
        return functional.image_text_rows(
            embeddings,
            side,
            self.graph,
            self.temperature if temperature is None else temperature,
            self.target_temperature,
            self.implementation,
            self.tile_size,
        )
