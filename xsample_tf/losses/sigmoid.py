"""The sigmoid loss of images and texts."""

import math
import numbers
from typing import Any

import keras
import tensorflow as tf

from xsample_tf import tensors
from xsample_tf.errors import InputError
from xsample_tf.losses import arguments, cross_replica, functional
from xsample_tf.losses.base import ContrastiveLoss
from xsample_tf.losses.tiled.sigmoid import SigmoidSettings, tiled_sigmoid_rows


@keras.saving.register_keras_serializable("xsample_tf")
class SigmoidContrastiveLoss(ContrastiveLoss):
    """Sigmoid loss of images and texts: SigLIP's (arXiv 2303.15343).

    With unit embeddings x of images and y of texts, each pair of an image and a text is a yes-no
    question with the logit `x_i.y_j / temperature + bias`, and yes for an image's own text alone.
    The loss of image i is half of the cross-entropies, in nats, of its questions to all texts and
    of its text's to all images, so that the mean over images is SigLIP's own loss. It needs no
    normaliser over the batch and no side information.

    `y_pred` is float `[B, V + 1, D]`, the embeddings of V >= 1 views of an image and of its text,
    normalised inside; `y_true` may be anything. `call` returns `[B]`, also the mean over the views.
    On several replicas the candidates are those of all.
    `XSampleModel(..., learn_temperature=True, learn_bias=True)` learns both, as SigLIP does.

    Args:
        temperature: Of the logits, > 0. Defaults to 0.1, SigLIP's start.
        bias: Of the logits. Defaults to -10, SigLIP's start, at which few pairs are taken for own.
        implementation: As for `XSampleContrastiveLoss`.
        tile_size: As for `XSampleContrastiveLoss`.
        reduction: As for `XSampleContrastiveLoss`.
        name: As in Keras.
        dtype: As for `XSampleContrastiveLoss`.

    Raises:
        InputError: An argument out of range, or unknown; at the call, embeddings of another shape,
            a batch of one, replicas with unequal shares, or tiles for a batch of unknown size.

    Example:
        >>> loss = SigmoidContrastiveLoss()
        >>> images, texts = tf.random.normal([8, 128]), tf.random.normal([8, 128])
        >>> loss(None, tf.stack([images, texts], axis=1)).shape
        TensorShape([])
    """

    sides = 2
    features = "index"
    statistics = ("alignment", "own_probability")

    def __init__(
        self,
        temperature: float = 0.1,
        bias: float = -10.0,
        implementation: str = "auto",
        tile_size: int | None = None,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(reduction, name or "sigmoid_contrastive", dtype)
        arguments.check_temperature(temperature)
        arguments.check_implementation(implementation, tile_size)
        if not (isinstance(bias, numbers.Real) and math.isfinite(bias)):
            raise InputError(f"bias: expected a finite number, received {bias!r}")
        self.temperature = temperature
        self.bias = bias
        self.implementation = implementation
        self.tile_size = tile_size

    def rows(
        self,
        side: Any,
        embeddings: tf.Tensor,
        temperature: tf.Tensor | None = None,
        bias: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The loss of each image and its text, with the statistics of their rows.

        Inside a replica context the images are the replica's share, as for `contrastive_rows`.

        Args:
            side: Not needed.
            embeddings: Float `[B, V + 1, D]`, V >= 1 views of the image, then the text, normalised
                inside; float64 is computed in float64, anything else in float32.
            temperature: A scalar tensor, which receives its gradient. Defaults to None, the loss's
                own.
            bias: Likewise.

        Returns:
            The loss `[B]` in nats, and statistics `[B]`, without gradient:

            - "alignment": squared distance of image and text, mean over the views;
            - "own_probability": of the image's own text to be taken for it.
        """
        del side
        embeddings = tf.convert_to_tensor(embeddings)
        dtype = tf.float64 if embeddings.dtype == tf.float64 else tf.float32
        scalars = [
            arguments.as_scalar(own if given is None else given, dtype)
            for own, given in ((self.temperature, temperature), (self.bias, bias))
        ]
        return functional.mean_of_pairs(
            lambda pairs: self._pair_rows(tf.cast(pairs, dtype), *scalars), embeddings
        )

    def _pair_rows(
        self, pairs: tf.Tensor, temperature: tf.Tensor, bias: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The rows of embeddings `[B, 2, D]`."""
        arguments.check_several(pairs.shape[0])
        views = tensors.unit_rows(pairs)
        if arguments.tiles_wanted(self.implementation, pairs):
            settings = SigmoidSettings(
                tile=arguments.tile_size_of(self.tile_size, pairs.shape[0]),
                symmetric=cross_replica.count() == 1,
            )
            loss, own = tiled_sigmoid_rows(settings, views, temperature, bias)
        else:
            loss, own = cross_replica.of_all(dense_sigmoid_rows, views, temperature, bias)
        statistics = {
            "alignment": tf.reduce_sum(tf.square(views[:, 0] - views[:, 1]), axis=1),
            "own_probability": own["own_probability"],
        }
        return loss, tf.nest.map_structure(tf.stop_gradient, statistics)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = ("temperature", "bias", "implementation", "tile_size")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def dense_sigmoid_rows(
    views: tf.Tensor, temperature: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """The textbook form: the matrix of all pairs written out.

    Args:
        views: Float `[B, 2, D]` of unit length, image and text.
        temperature: Scalar tensor.
        bias: Scalar tensor.

    Returns:
        The loss `[B]`, and "own_probability" `[B]`.
    """
    logits = tf.matmul(views[:, 0], views[:, 1], transpose_b=True) / temperature + bias
    own = tf.linalg.diag_part(logits)
    # Minus the log of the answer's probability: yes on the diagonal, no elsewhere.
    costs = tf.linalg.set_diag(tf.math.softplus(logits), tf.math.softplus(-own))
    loss = (tf.reduce_sum(costs, axis=0) + tf.reduce_sum(costs, axis=1)) / 2
    return loss, {"own_probability": tf.sigmoid(own)}
