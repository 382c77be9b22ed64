"""The graph in which an image relates to itself alone."""

import keras
import tensorflow as tf

from xsample_tf.graphs.base import SimilarityGraph, register


@register("instance")
@keras.saving.register_keras_serializable("xsample_tf")
class InstanceGraph(SimilarityGraph):
    """1 for views of the same image, else 0 (SimCLR's NT-Xent, arXiv 2002.05709).

    Side information: the image's index in the global batch, supplied by the loss.
    """

    features = "index"
    target_temperature = 0.0

    def compare(self, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """Returns 1 where indices `[R]` and `[C]` agree, else 0: `[R, C]`."""
        return tf.cast(rows[:, tf.newaxis] == columns[tf.newaxis, :], tf.float32)
