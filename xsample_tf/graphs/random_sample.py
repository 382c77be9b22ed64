"""The control that relates pairs of images at random."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.graphs import pair_hash
from xsample_tf.graphs.base import GraphData, SimilarityGraph, register

_IMAGES = 2048  # Images whose similarities make the histogram.
_VALUES = 2**14  # Equally frequent values that stand for it.


@register("random_sample")
@keras.saving.register_keras_serializable("xsample_tf")
class RandomSampleGraph(SimilarityGraph):
    """Control: a random similarity per pair of images, with the captions' histogram.

    The similarity is a function of the seed and of both images' keys: a pair keeps it in every
    batch and epoch, wherever the images stand. It relates images as softly as their captions do,
    and means nothing.

    Side information: "key_hash", whole numbers `[B]` that tell images apart.

    Args:
        values: float `[Q]` in [-1, 1], the equally frequent similarities; Q is a power of 2.
        seed: Of the similarities, 64 bits. Defaults to 0.

    Raises:
        InputError: Values out of range, or a number of them that is not a power of 2.

    Example:
        >>> graph = RandomSampleGraph(values=[0.1, 0.4], seed=1)
        >>> keys = tf.constant([11, 22, 33])
        >>> graph.similarity(keys, keys)  # Symmetric; each is 0.1 or 0.4.
    """

    features = "key_hash"

    def __init__(self, values: Any, seed: int = 0):
        self.values = np.asarray(values, np.float32)
        count = self.values.size
        if self.values.ndim != 1 or not count or count & (count - 1):
            raise InputError(
                f"RandomSampleGraph: expected `values` as [Q] with Q a power of 2, received shape "
                f"{self.values.shape}"
            )
        if not np.all(np.abs(self.values) <= 1 + 1e-6):  # NaN is not below either.
            raise InputError("RandomSampleGraph: expected finite `values` within [-1, 1]")
        self.seed = int(seed)

    @classmethod
    def from_data(cls, data: GraphData) -> "RandomSampleGraph":
        """Takes the histogram of the caption cosines in the stream's first batch."""
        graph = data.graph("cosine")
        side = data.side_information(graph.features, min(data.batch_size, _IMAGES))
        similarity = graph.similarity(tf.constant(side), tf.constant(side)).numpy()
        return cls.from_similarities(similarity[np.triu_indices(len(similarity), 1)], data.seed)

    @classmethod
    def from_similarities(cls, similarities: Any, seed: int = 0) -> "RandomSampleGraph":
        """Builds the graph with the histogram of some similarities.

        Args:
            similarities: float `[P]`, those of pairs of different images.
            seed: Of the similarities that pairs get.
        """
        shares = (np.arange(_VALUES) + 0.5) / _VALUES
        values = np.quantile(np.asarray(similarities, np.float64), shares, method="inverted_cdf")
        return cls(np.clip(values, -1, 1), seed)

    def prepare(self, side: tf.Tensor) -> tf.Tensor:
        """Returns a hash int32 `[B]` of each image."""
        return pair_hash.image_hash(side, self.seed, purpose=1)

    def compare(self, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """Returns the pairs' similarities `[R, C]`, of image hashes `[R]` and `[C]`."""
        bits = pair_hash.pair_bits(rows, columns)
        # The value's number is the highest bits; a shift by all 32 is not defined.
        shift = 31 - (self.values.size.bit_length() - 1)
        half = tf.bitwise.right_shift(bits, tf.constant(1, tf.uint32))
        number = tf.bitwise.right_shift(half, tf.constant(shift, tf.uint32))
        return tf.gather(tf.constant(self.values), tf.cast(number, tf.int32))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"values": self.values.tolist(), "seed": self.seed}
