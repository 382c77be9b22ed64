"""The graph of captions."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.graphs.base import GraphData, SimilarityGraph, register


@register("cosine")
@keras.saving.register_keras_serializable("xsample_tf")
class CosineGraph(SimilarityGraph):
    """Cosine of caption vectors (X-CLR, arXiv 2407.18134, equation for the soft graph).

    Side information: float `[B, T]` of any scale. A zero vector relates to nothing.

    Args:
        center: `[T]`, subtracted from every vector first. A template shared by all captions puts a
            floor under every similarity; centring by the data's mean vector removes it.

    Example:
        >>> vectors = tf.constant([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
        >>> CosineGraph().similarity(vectors, vectors)  # 0 between the first two, 0.71 to the third
    """

    inner_product = True
    of_captions = True

    @classmethod
    def from_data(cls, data: GraphData) -> "CosineGraph":
        """Builds the graph, centred where the run asks for it."""
        return cls(data.center())

    def __init__(self, center: Any = None):
        self.center = None if center is None else np.asarray(center, np.float64)
        if self.center is not None and (
            self.center.ndim != 1 or not np.all(np.isfinite(self.center))
        ):
            raise InputError(
                f"CosineGraph: expected `center` as one finite vector [T], received shape "
                f"{self.center.shape}"
            )

    def compare(self, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """Returns cosines `[R, C]` of unit vectors `[R, T]` and `[C, T]`."""
        return tf.matmul(rows, columns, transpose_b=True)

    def prepare(self, side: tf.Tensor) -> tf.Tensor:
        """Returns unit vectors `[B, T]`, zero where there is no caption."""
        vectors = tf.convert_to_tensor(side)
        vectors = vectors if vectors.dtype == tf.float64 else tf.cast(vectors, tf.float32)
        if vectors.shape.rank != 2 or (
            self.center is not None and vectors.shape[1] not in (None, len(self.center))
        ):
            size = "T" if self.center is None else len(self.center)
            raise InputError(
                f"CosineGraph: expected caption vectors [B, {size}], received {vectors.shape}"
            )
        centered = vectors if self.center is None else vectors - tf.cast(self.center, vectors.dtype)
        # Scaling by the largest entry first keeps the squares within range at any scale.
        largest = tf.reduce_max(tf.abs(centered), axis=1, keepdims=True)
        scaled = tf.math.divide_no_nan(centered, largest)
        unit = tf.math.divide_no_nan(scaled, tf.norm(scaled, axis=1, keepdims=True))
        missing = tf.reduce_all(vectors == 0, axis=1, keepdims=True)
        return tf.where(missing, tf.zeros_like(unit), unit)

    def check(self, side: tf.Tensor) -> None:
        """Raises `InputError` on vectors that are not finite."""
        bad = ~np.isfinite(np.asarray(side, np.float64)).all(axis=-1)
        if bad.any():
            raise InputError(
                f"CosineGraph: expected finite caption vectors, received NaN or infinity in row "
                f"{int(np.argmax(bad))}; leave such samples out or give them a zero vector"
            )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"center": None if self.center is None else self.center.tolist()}
