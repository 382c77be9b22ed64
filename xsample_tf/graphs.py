"""Similarity graphs: how the samples of a batch relate to each other.

The target of the loss is a softmax over the rows of such a graph (arXiv 2407.18134, section 3);
which graph is used decides the objective: captions give X-CLR, labels give SupCon, the image
itself gives SimCLR.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError

# Keras casts `y_true` to float32, which holds whole numbers exactly below this only.
LABEL_LIMIT = 2**24


class SimilarityGraph:
    """How samples relate: side information in, similarities in [-1, 1] out.

    A graph of one's own derives from this class, names the feature it needs and implements
    `compare` (and `get_config`, where it has arguments).

    Attributes:
        features: Name of the side information: "embedding", "label", or "index", the image's
            place in the global batch, which the loss supplies.
        target_temperature: The graph's own temperature of the target softmax; 0 is its limit,
            uniform over the most similar candidates.
        inner_product: Whether `compare` is the inner product of prepared vectors; the loss then
            uses products of full precision, which GPUs otherwise round.
    """

    features: str = "embedding"
    target_temperature: float = 0.1
    inner_product: bool = False

    def similarity(self, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """Returns similarities float32 `[R, C]` of side information `[R, ...]` and `[C, ...]`.

        The result is symmetric in its arguments and lies in [-1, 1]; float64 side information may
        give float64.
        """
        return self.compare(self.prepare(rows), self.prepare(columns))

    def prepare(self, side: tf.Tensor) -> tf.Tensor:
        """Returns what `compare` takes, `[B, ...]`: whatever can be done once an image."""
        return side

    def compare(self, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """Returns similarities `[R, C]` of prepared side information `[R, ...]` and `[C, ...]`."""
        raise NotImplementedError(f"abstract: {type(self).__name__} must implement compare")

    def valid(self, prepared: tf.Tensor) -> tf.Tensor:
        """Returns which images' prepared side information is usable, bool `[B]`.

        The others' loss is NaN, for compiled steps, in which no error can be raised.
        """
        return tf.ones(tf.shape(prepared)[:1], tf.bool)

    def check(self, side: tf.Tensor) -> None:
        """Raises `InputError` when the values `[B, ...]` cannot be used; called when eager only."""

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "SimilarityGraph":
        """Builds the graph from `get_config`'s result."""
        return cls(**config)


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


@keras.saving.register_keras_serializable("xsample_tf")
class LabelGraph(SimilarityGraph):
    """1 for the same label, else 0 (SupCon, arXiv 2004.11362, L_out at target temperature 0).

    Side information: whole numbers `[B]`, from 0 and below 2**24. In a compiled step, where values
    cannot be checked, another number makes its row NaN.

    Example:
        >>> LabelGraph().similarity(tf.constant([0, 1]), tf.constant([0, 1, 0]))
        [[1., 0., 1.], [0., 1., 0.]]
    """

    features = "label"
    target_temperature = 0.0
    _limit = LABEL_LIMIT

    def compare(self, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """Returns 1 where labels `[R]` and `[C]` agree, else 0: `[R, C]`."""
        return tf.cast(rows[:, tf.newaxis] == columns[tf.newaxis, :], tf.float32)

    def prepare(self, side: tf.Tensor) -> tf.Tensor:
        """Returns the labels int32 `[B]`, -1 where they are not valid."""
        side = tf.convert_to_tensor(side)
        if side.shape.rank not in (1, None) and not (side.shape.rank == 2 and side.shape[1] == 1):
            raise InputError(
                f"{type(self).__name__}: expected labels [B], one whole number an image, received "
                f"{side.shape}"
            )
        side = tf.reshape(side, [-1])
        valid = (side >= 0) & (side < tf.cast(self._limit, side.dtype))
        if side.dtype.is_floating:
            valid &= side == tf.floor(side)
        # NaN has no integer value, so it is replaced before the cast.
        return tf.where(valid, tf.cast(tf.where(valid, side, tf.zeros_like(side)), tf.int32), -1)

    def valid(self, prepared: tf.Tensor) -> tf.Tensor:
        """Returns whether labels are whole numbers within range, bool `[B]`."""
        return prepared >= 0

    def check(self, side: tf.Tensor) -> None:
        """Raises `InputError` on a label that is not a whole number or is out of range."""
        values = np.asarray(side, np.float64).reshape(-1)
        bad = ~((values >= 0) & (values < self._limit) & (values == np.floor(values)))
        if bad.any():
            raise InputError(
                f"{type(self).__name__}: expected labels as whole numbers from 0 to "
                f"{self._limit - 1}, received {values[bad][0]:g} in row {int(np.argmax(bad))}"
            )


@keras.saving.register_keras_serializable("xsample_tf")
class ClassGraph(LabelGraph):
    """Similarity of classes by a table, for instance of their names (X-CLR on ImageNet).

    Side information: whole numbers `[B]`, the rows of the table. In a compiled step a number
    outside the table makes its row NaN.

    Args:
        table: `[C, C]`, symmetric to 1e-6, values in [-1, 1].

    Raises:
        InputError: The table is not square, not symmetric, not finite or not within [-1, 1].

    Example:
        >>> graph = ClassGraph([[1.0, 0.3], [0.3, 1.0]])
        >>> graph.similarity(tf.constant([0, 1]), tf.constant([1]))
        [[0.3], [1.0]]
    """

    target_temperature = 0.1

    def __init__(self, table: Any):
        table = np.asarray(table, np.float64)
        if table.ndim != 2 or table.shape[0] != table.shape[1] or not table.size:
            raise InputError(f"ClassGraph: expected a square table [C, C], received {table.shape}")
        if not np.all(np.isfinite(table)) or np.abs(table).max() > 1 + 1e-6:
            raise InputError("ClassGraph: expected a table of finite values within [-1, 1]")
        if np.abs(table - table.T).max() > 1e-6:
            first = np.unravel_index(np.argmax(np.abs(table - table.T)), table.shape)
            raise InputError(
                f"ClassGraph: expected a symmetric table, received {table[first]:.6g} at "
                f"[{first[0]}, {first[1]}] and {table.T[first]:.6g} at [{first[1]}, {first[0]}]"
            )
        self.table = table
        self._limit = len(table)

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
        return {"table": self.table.tolist()}


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
