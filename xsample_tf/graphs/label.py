"""Graphs of class labels."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.graphs.base import GraphData, SimilarityGraph, register
from xsample_tf.graphs.caption import CosineGraph
from xsample_tf.graphs.edge_noise import EDGE_NOISE, with_edge_noise

# Keras casts `y_true` to float32, which holds whole numbers exactly below this only.
LABEL_LIMIT = 2**24


@register("label", options=EDGE_NOISE)
@keras.saving.register_keras_serializable("xsample_tf")
class LabelGraph(SimilarityGraph):
    """1 for the same label, else 0 (SupCon, arXiv 2004.11362, L_out at target temperature 0).

    Side information: labels `[B]` or `[B, 1]` of any integer or boolean dtype, or whole numbers in
    a floating one, from 0 and below 2**24. In a compiled step, where values cannot be checked,
    another number makes its row NaN.

    Args:
        one_hot: Whether labels are one-hot rows `[B, C]`, one 1 and else 0. Defaults to False.

    Example:
        >>> LabelGraph().similarity(tf.constant([0, 1]), tf.constant([0, 1, 0]))
        [[1., 0., 1.], [0., 1., 0.]]
    """

    features = "label"
    target_temperature = 0.0
    _limit = LABEL_LIMIT

    def __init__(self, one_hot: bool = False):
        self.one_hot = bool(one_hot)

    @classmethod
    def from_data(
        cls, data: GraphData, spurious_edges: float = 0.0, missing_edges: float = 0.0
    ) -> SimilarityGraph:
        """Builds the graph, with edge noise where the run asks for it."""
        return with_edge_noise(cls(), spurious_edges, missing_edges, data.seed)

    def compare(self, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """Returns 1 where labels `[R]` and `[C]` agree, else 0: `[R, C]`."""
        return tf.cast(rows[:, tf.newaxis] == columns[tf.newaxis, :], tf.float32)

    def prepare(self, side: tf.Tensor) -> tf.Tensor:
        """Returns the labels int32 `[B]`, -1 where they are not valid."""
        side = tf.convert_to_tensor(side)
        if side.dtype == tf.string:
            raise InputError(
                f"{type(self).__name__}: expected labels as numbers, received strings; number the "
                "classes, as keras.layers.StringLookup does"
            )
        if side.dtype == tf.bool:
            side = tf.cast(side, tf.int32)
        if self.one_hot:
            return self._prepare_one_hot(side)
        if side.shape.rank not in (1, None) and not (side.shape.rank == 2 and side.shape[1] == 1):
            raise InputError(
                f"{type(self).__name__}: expected labels [B], one whole number an image, received "
                f"{side.shape}; for rows [B, C] say one_hot=True"
            )
        side = tf.reshape(side, [-1])
        # Narrower dtypes do not hold the limit.
        if side.dtype != tf.float64:
            side = tf.cast(side, tf.float32 if side.dtype.is_floating else tf.int64)
        valid = (side >= 0) & (side < self._limit)
        if side.dtype.is_floating:
            valid &= side == tf.floor(side)
        # NaN has no integer value, so it is replaced before the cast.
        return tf.where(valid, tf.cast(tf.where(valid, side, tf.zeros_like(side)), tf.int32), -1)

    def _prepare_one_hot(self, side: tf.Tensor) -> tf.Tensor:
        if side.shape.rank not in (2, None):
            raise InputError(
                f"{type(self).__name__}: expected one-hot labels [B, C], received {side.shape}; "
                "one_hot=False takes numbers [B]"
            )
        ones = tf.cast(side == 1, tf.int32)
        rest = tf.reduce_all((side == 0) | (side == 1), axis=1)
        labels = tf.argmax(ones, axis=1, output_type=tf.int32)
        valid = rest & (tf.reduce_sum(ones, axis=1) == 1) & (labels < self._limit)
        return tf.where(valid, labels, -1)

    def valid(self, prepared: tf.Tensor) -> tf.Tensor:
        """Returns whether labels are whole numbers within range, bool `[B]`."""
        return prepared >= 0

    def check(self, side: tf.Tensor) -> None:
        """Raises `InputError` on a label that is not a whole number or is out of range."""
        bad = ~self.valid(self.prepare(side)).numpy()
        if bad.any():
            row = int(np.argmax(bad))
            value = np.asarray(side)[row].tolist()
            kind = "a row with one 1 and else 0" if self.one_hot else "whole numbers"
            raise InputError(
                f"{type(self).__name__}: expected labels as {kind} from 0 to {self._limit - 1}, "
                f"received {value} in row {row}"
            )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"one_hot": self.one_hot}


@register("class", options=EDGE_NOISE)
@keras.saving.register_keras_serializable("xsample_tf")
class ClassGraph(LabelGraph):
    """Similarity of classes by a table, for instance of their names (X-CLR on ImageNet).

    Side information: labels as for `LabelGraph`, the rows of the table. In a compiled step a number
    outside the table makes its row NaN.

    Args:
        table: `[C, C]`, symmetric to 1e-6, values in [-1, 1].
        one_hot: As for `LabelGraph`. Defaults to False.

    Raises:
        InputError: The table is not square, not symmetric, not finite or not within [-1, 1].

    Example:
        >>> graph = ClassGraph([[1.0, 0.3], [0.3, 1.0]])
        >>> graph.similarity(tf.constant([0, 1]), tf.constant([1]))
        [[0.3], [1.0]]
    """

    target_temperature = 0.1
    of_captions = True

    def __init__(self, table: Any, one_hot: bool = False):
        super().__init__(one_hot)
        name = type(self).__name__
        table = np.asarray(table, np.float64)
        if table.ndim != 2 or table.shape[0] != table.shape[1] or not table.size:
            raise InputError(f"{name}: expected a square table [C, C], received {table.shape}")
        if not np.all(np.isfinite(table)) or np.abs(table).max() > 1 + 1e-6:
            raise InputError(f"{name}: expected a table of finite values within [-1, 1]")
        if np.abs(table - table.T).max() > 1e-6:
            first = np.unravel_index(np.argmax(np.abs(table - table.T)), table.shape)
            raise InputError(
                f"{name}: expected a symmetric table, received {table[first]:.6g} at "
                f"[{first[0]}, {first[1]}] and {table.T[first]:.6g} at [{first[1]}, {first[0]}]"
            )
        self.table = table
        self._limit = len(table)

    @classmethod
    def from_data(
        cls, data: GraphData, spurious_edges: float = 0.0, missing_edges: float = 0.0
    ) -> SimilarityGraph:
        """Builds the table from the vectors of the classes' captions, with edge noise if asked."""
        graph = cls.from_embeddings(data.class_vectors(), data.center())
        return with_edge_noise(graph, spurious_edges, missing_edges, data.seed)

    @classmethod
    def from_embeddings(cls, embeddings: Any, center: Any = None) -> "ClassGraph":
        """Builds the table of cosines of one vector per class.

        Args:
            embeddings: float `[C, T]`, any scale.
            center: As in `CosineGraph`.
        """
        vectors = tf.constant(np.asarray(embeddings, np.float64))
        table = CosineGraph(center).similarity(vectors, vectors).numpy()
        return cls(np.clip((table + table.T) / 2, -1, 1))

    def compare(self, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """Returns the table's entries `[R, C]` for labels `[R]` and `[C]`."""
        table = tf.constant(self.table, tf.float32)
        return tf.gather(tf.gather(table, tf.maximum(rows, 0)), tf.maximum(columns, 0), axis=1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "table": self.table.tolist()}
