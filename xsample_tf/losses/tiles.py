"""One tile of the cross-sample matrices: what some images' views see of others'.

A block holds some images, their axis first: "views" `[n, S, K, D]` of unit length, on S sides of K
views each; "side" `[n, ...]`, prepared for the graph; "place" int32 `[n]`, in the global batch, one
after the other; and "real" `[n]`, 0 for what only fills tiles, where they had to be filled. With
one side an anchor's candidates are all views (X-CLR); with two, image and text, they are those of
the other side (CLIP). Matrices over views are `[S, n K, m K]`; the graph's are `[n, m]`, once for
all pairs of two images' views.
"""

import dataclasses

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla
from tensorflow.compiler.xla import xla_data_pb2

from xsample_tf.errors import InputError
from xsample_tf.graphs import SimilarityGraph
from xsample_tf.losses.dense import TIE

Block = dict[str, tf.Tensor]

# Within float32, exp keeps all its digits over this many nats on one side of 1.
_RANGE = 75.0
# Cosines span 2 / temperature nats: down to here one shift keeps all of them within range.
LOWEST_SHARED_TEMPERATURE = 1 / 64


@dataclasses.dataclass(frozen=True)
class Problem:
    """What does not change from batch to batch.

    Attributes:
        graph: How the images relate.
        target_temperature: tau_s; 0 is the softmax's limit.
        exclude_self: Whether a view is left out of its own candidates.
        views: V, of an image, on all sides together.
        sides: S.
        tile: Images in a tile.
        shared_shift: Whether tau is known to be at least `LOWEST_SHARED_TEMPERATURE`. Then one
            exponential serves a pair of views in both directions; else each row is shifted by its
            largest logit.
        symmetric: Whether the anchors are the candidates, so that the upper triangle is enough.
    """

    graph: SimilarityGraph
    target_temperature: float
    exclude_self: bool
    views: int
    sides: int
    tile: int
    shared_shift: bool
    symmetric: bool

    @property
    def views_per_side(self) -> int:
        """K."""
        return self.views // self.sides

    @property
    def leaves_self_out(self) -> bool:
        """Whether an anchor would be its own candidate, and is not."""
        return self.exclude_self and self.sides == 1

    @property
    def own_candidates(self) -> int:
        """Candidates of an anchor that are views of its own image, of similarity 1."""
        return self.views_per_side - self.leaves_self_out


def predicted_weights(
    problem: Problem, rows: Block, columns: Block, inverse_temperature: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """exp(logit - shift) `[S, n K, m K]` by the shifts of the rows, and by those of the columns.

    0 for an anchor as its own candidate. Where the shift is shared both are the same tensor; where
    the columns' shifts are not known the second is None.
    """
    logits = cosines(rows, columns) * inverse_temperature
    if problem.shared_shift:
        both = tf.exp(logits - shared_shift(inverse_temperature))
        if problem.leaves_self_out:
            same = _same(rows, columns, problem.views_per_side)
            both = tf.where(same, tf.zeros_like(both), both)
        return both, both
    logits = tf.where(candidates(problem, rows, columns), logits, -float("inf"))

    def weights(block: Block, axis: int) -> tf.Tensor | None:
        if "shift" not in block:
            return None
        shift = matrix(block["shift"])
        shift = tf.expand_dims(shift if axis == 2 else other_side(shift), axis)
        # Logits exceed it only where rows or columns are mere filling.
        return tf.exp(tf.minimum(logits - shift, 0))

    return weights(rows, 2), weights(columns, 1)


def shared_shift(inverse_temperature: tf.Tensor) -> tf.Tensor:
    """The shift that keeps the exponentials of all possible logits within float32."""
    return inverse_temperature - tf.maximum(2 * inverse_temperature - _RANGE, 0)


def target_weights(
    problem: Problem, rows: Block, columns: Block
) -> tuple[tuple[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor] | None]:
    """`target_weight` `[n, m]` by the largest similarities of the rows, and by the columns'.

    The weight is 0 between views of one image: the caller accounts for these. As for
    `predicted_weights`, both may be the same, and the second may be None.
    """
    similarity = similarities(problem, rows, columns)

    def weights(largest: tf.Tensor | float) -> tuple[tf.Tensor, tf.Tensor]:
        weight, logits = target_weight(problem, similarity, largest)
        return tf.where(_same(rows, columns), tf.zeros_like(weight), weight), logits

    if problem.own_candidates:  # Their similarity of 1 is the largest of any row.
        both = weights(1.0)
        return both, both
    of_columns = weights(columns["largest"][tf.newaxis, :]) if "largest" in columns else None
    return weights(rows["largest"][:, tf.newaxis]), of_columns


def target_weight(
    problem: Problem, similarity: tf.Tensor, largest: tf.Tensor | float
) -> tuple[tf.Tensor, tf.Tensor]:
    """exp(y) and y = (similarity - largest) / tau_s; at tau_s = 0, whether it is among the largest.

    The weight of an image that only fills a tile may be anything finite.
    """
    if problem.target_temperature == 0:
        # NaN compares false with everything; the sum lets it stay NaN.
        chosen = tf.cast(similarity >= largest - TIE, similarity.dtype) + 0 * similarity
        return chosen, tf.zeros_like(similarity)
    logits = tf.minimum((similarity - largest) / problem.target_temperature, 0)
    return tf.exp(logits), logits


def cosines(rows: Block, columns: Block) -> tf.Tensor:
    """Cosines `[S, n K, m K]` of anchors and candidates."""
    return product(matrix(rows["views"]), other_side(matrix(columns["views"])), (2, 2))


def similarities(problem: Problem, rows: Block, columns: Block) -> tf.Tensor:
    """The graph's `[n, m]`, in the embeddings' dtype."""
    dtype = rows["views"].dtype
    if problem.graph.inner_product:
        return tf.cast(product(rows["side"], columns["side"], (1, 1)), dtype)
    similarity = problem.graph.compare(rows["side"], columns["side"])
    if similarity.shape != (count(rows), count(columns)):
        raise InputError(
            f"{type(problem.graph).__name__}: expected `compare` to return "
            f"[{count(rows)}, {count(columns)}], received {similarity.shape}"
        )
    return tf.cast(similarity, dtype)


def candidates(problem: Problem, rows: Block, columns: Block) -> tf.Tensor:
    """Bool `[n K, m K]`: pairs of views of real images, other than a view and itself."""
    real = _real(rows, columns, problem.views_per_side)
    if not problem.leaves_self_out:
        return real
    return real & ~_same(rows, columns, problem.views_per_side)


def other_images(rows: Block, columns: Block) -> tf.Tensor:
    """Bool `[n, m]`: pairs of different, real images."""
    return _real(rows, columns) & ~_same(rows, columns)


def _real(rows: Block, columns: Block, views: int = 1) -> tf.Tensor:
    """Bool `[n views, m views]`: pairs of views of real images."""
    left, right = (
        tf.repeat(block.get("real", tf.ones_like(block["place"])) > 0, views)
        for block in (rows, columns)
    )
    return left[:, tf.newaxis] & right[tf.newaxis, :]


def _same(rows: Block, columns: Block, views: int = 1) -> tf.Tensor:
    """Bool `[n views, m views]`: where a view, or with one an image, meets itself.

    A diagonal, since places are consecutive; XLA makes comparisons of stored numbers much slower.
    """
    offset = (columns["place"][0] - rows["place"][0]) * views
    left, right = (tf.range(count(block) * views) for block in (rows, columns))
    return left[:, tf.newaxis] - right[tf.newaxis, :] == offset


def count(block: Block) -> int:
    """The number of images n."""
    return block["place"].shape[0]


def matrix(values: tf.Tensor) -> tf.Tensor:
    """`[n, S, K, ...]` to `[S, n K, ...]`."""
    images, sides, views, *rest = values.shape
    if sides > 1:
        values = tf.transpose(values, [1, 0, *range(2, len(values.shape))])
    return tf.reshape(values, [sides, images * views, *rest])


def by_view(problem: Problem, values: tf.Tensor, reduced: int) -> tf.Tensor:
    """`[S, n K, ...]` to `[n, S, K, ...]`, of the columns where the rows, axis 1, were reduced."""
    values = values if reduced == 2 else other_side(values)
    sides, rows, *rest = values.shape
    count = problem.views_per_side
    if sides == 1:
        return tf.reshape(values, [rows // count, 1, count, *rest])
    values = tf.reshape(values, [sides, rows // count, count, *rest])
    return tf.transpose(values, [1, 0, *range(2, len(values.shape))])


def other_side(values: tf.Tensor) -> tf.Tensor:
    """`[S, ...]` with the sides exchanged."""
    return values if values.shape[0] == 1 else tf.reverse(values, [0])


def product(left: tf.Tensor, right: tf.Tensor, axes: tuple[int, int]) -> tf.Tensor:
    """Contracts an axis each of `[S, a, b]` and `[S, c, d]`, or of `[a, b]` and `[c, d]`.

    In full precision on any device. GPUs and TPUs otherwise round the factors of float32 products,
    and tau multiplies the error of 1e-3 in a cosine by ten.
    """
    dimensions = xla_data_pb2.DotDimensionNumbers(
        lhs_contracting_dimensions=[axes[0]], rhs_contracting_dimensions=[axes[1]]
    )
    if len(left.shape) == 3:
        if left.shape[0] == 1:
            return product(left[0], right[0], (axes[0] - 1, axes[1] - 1))[tf.newaxis]
        dimensions.lhs_batch_dimensions.append(0)
        dimensions.rhs_batch_dimensions.append(0)
    highest = xla_data_pb2.PrecisionConfig.HIGHEST
    precision = xla_data_pb2.PrecisionConfig(operand_precision=[highest, highest])
    return xla.dot_general(left, right, dimensions, precision)


def transposed_product(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Contracts the first axis of `[S, a, b]` and `[S, a, d]`, or of `[a, b]` and `[a, d]`.

    XLA's CPU product is several times slower, on one core, where its left factor is transposed; the
    barriers keep the small factor, and not the other, transposed in memory.
    """
    last = len(left.shape) - 1
    swap = [*range(last - 1), last, last - 1]
    (right,) = xla.optimization_barrier(tf.transpose(right, swap))
    (result,) = xla.optimization_barrier(product(right, left, (last, last - 1)))
    return tf.transpose(result, swap)
