"""The cross-entropy of class labels."""

import math
import numbers
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.graphs import LabelGraph
from xsample_tf.losses.base import ContrastiveLoss


@keras.saving.register_keras_serializable("xsample_tf")
class CrossEntropyLoss(ContrastiveLoss):
    """Cross-entropy of class labels: supervised training, on the same batches of views.

    `y_pred` is float `[B, V, C]`, the logits of C classes for V views of each image, not
    normalised; `y_true` is the labels, as for `LabelGraph`. `call` returns `[B]`, the mean over an
    image's views. Images do not see each other, so that replicas need not either.

    Args:
        label_smoothing: Share of the target, in [0, 1), that is spread over all classes. Defaults
            to 0.
        one_hot: As for `LabelGraph`. Defaults to False.
        reduction: As for `XSampleContrastiveLoss`.
        name: As in Keras.
        dtype: As for `XSampleContrastiveLoss`.

    Raises:
        InputError: A share out of range; at the call, logits of another shape, or, when eager, a
            label that is none of the classes. In a compiled step, where values cannot be checked,
            such a label makes its image's loss NaN.

    Example:
        >>> loss = CrossEntropyLoss(label_smoothing=0.1)
        >>> labels, logits = tf.constant([3, 0, 2, 1]), tf.zeros([4, 2, 5])
        >>> round(float(loss(labels, logits)), 4)  # log 5
        1.6094
    """

    features = "label"
    statistics = ("accuracy",)

    def __init__(
        self,
        label_smoothing: float = 0.0,
        one_hot: bool = False,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(reduction, name or "cross_entropy", dtype)
        if not (isinstance(label_smoothing, numbers.Real) and 0 <= label_smoothing < 1):
            raise InputError(
                f"label_smoothing: expected a share from 0 to below 1, received {label_smoothing!r}"
            )
        self.label_smoothing = label_smoothing
        self.labels = LabelGraph(one_hot)

    def rows(self, side: Any, embeddings: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The cross-entropy of each image's label, with the statistics of its row.

        Args:
            side: Labels, as for `LabelGraph`.
            embeddings: Logits, float `[B, V, C]`; float64 is computed in float64, anything else in
                float32.

        Returns:
            The loss `[B]` in nats, and statistics `[B]`: "accuracy", the share of the image's views
            whose largest logit is the label's.
        """
        logits = tf.convert_to_tensor(embeddings)
        if logits.shape.rank != 3:
            raise InputError(
                f"expected logits [B, V, C], of V views of each image, received {logits.shape}"
            )
        logits = tf.cast(logits, tf.float64 if logits.dtype == tf.float64 else tf.float32)
        labels, valid = self._labels(side, logits)
        log_probabilities = tf.nn.log_softmax(logits)
        own = tf.gather(log_probabilities, labels, axis=2, batch_dims=1)
        smoothing = self.label_smoothing
        by_view = (smoothing - 1) * own - smoothing * tf.reduce_mean(log_probabilities, axis=2)
        unknown = tf.constant(math.nan, logits.dtype)
        loss = tf.reduce_mean(by_view, axis=1) * tf.where(valid, tf.ones_like(unknown), unknown)
        found = tf.argmax(logits, axis=2, output_type=labels.dtype) == labels[:, tf.newaxis]
        accuracy = tf.reduce_mean(tf.cast(found & valid[:, tf.newaxis], logits.dtype), axis=1)
        return loss, {"accuracy": accuracy}

    def _labels(self, side: Any, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Labels int32 `[B]`, 0 where they are none of the classes, and whether they are one."""
        classes = logits.shape[2]
        if side is None:
            raise InputError("CrossEntropyLoss: expected 'label' [B], received None")
        labels = self.labels.prepare(side)
        if None not in (labels.shape[0], logits.shape[0]) and labels.shape[0] != logits.shape[0]:
            raise InputError(
                f"expected 'label' with one row for each of {logits.shape[0]} images, received "
                f"{labels.shape}"
            )
        if tf.executing_eagerly():
            self.labels.check(side)
            if len(labels) and int(tf.reduce_max(labels)) >= classes:
                raise InputError(
                    f"CrossEntropyLoss: expected labels from 0 to {classes - 1}, for logits of "
                    f"{classes} classes, received {int(tf.reduce_max(labels))}"
                )
        valid = (labels >= 0) & (labels < classes)
        return tf.where(valid, labels, 0), valid

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        own = {"label_smoothing": self.label_smoothing, "one_hot": self.labels.one_hot}
        return {**super().get_config(), **own}
