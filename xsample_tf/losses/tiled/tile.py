"""One tile of the cross-sample matrices: what some images' views see of others'.

A block holds some images: "views" `[S, K, n, D]` of unit length, on S sides of K views each; "side"
`[n, ...]`, prepared for the graph, or its parts "side/NAME"; "place" int32 `[n]`, in the global
batch, one after the other; and "real" `[n]`, 0 for what only fills tiles, where they had to be
filled. With one side an anchor's candidates are all views (X-CLR); with two, image and text, they
are those of the other side (CLIP). Matrices over views are `[S, K n, m]`, those of `candidates`: a
view of each of m images at a time. So the graph's `[n, m]`, once for all pairs of two images'
views, lies over each of their K parts.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla
from tensorflow.compiler.xla import xla_data_pb2

from xsample_tf.errors import InputError
from xsample_tf.graphs import SimilarityGraph
from xsample_tf.graphs.base import TIE, Side

ImageBlock = dict[str, tf.Tensor]

# Which axis of a tile's block holds the images; elsewhere, and of all else, it is the first.
_IMAGE_AXIS = {
    **dict.fromkeys(("views", "shift", "predicted", "predicted_factor"), 2),
    **dict.fromkeys(("transposed", "pull"), 3),
}
_SIDE = "side"
# Within float32, exp keeps all its digits over this many nats on one side of 1.
_RANGE = 75.0
# Cosines span 2 / temperature nats: down to here one shift keeps all of them within range.
LOWEST_SHARED_TEMPERATURE = 1 / 64


@dataclasses.dataclass(frozen=True)
class LossSettings:
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


def candidates(columns: ImageBlock) -> list[ImageBlock]:
    """What a block's images offer to anchors: of each, one view of the other side at a time.

    Tensors lose the axis of views; "view" says which one it is.
    """
    result = [{"view": view} for view in range(columns["views"].shape[1])]
    for name, values in columns.items():
        axis = image_axis(name)
        parts = tf.unstack(other_side(values), axis=axis - 1) if axis else [values] * len(result)
        for block, part in zip(result, parts, strict=True):
            block[name] = part
    return result


def joined(parts: list[tf.Tensor]) -> tf.Tensor:
    """What each of `candidates` got, `[S, ..., m]`, as their block has it, `[S, ..., K, m]`."""
    return other_side(tf.stack(parts, axis=-2))


def predicted_weights(
    problem: LossSettings, rows: ImageBlock, candidate: ImageBlock, inverse_temperature: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """exp(logit - shift) `[S, K n, m]` by the shifts of the rows, and by those of the candidates.

    0 for an anchor as its own candidate. Where the shift is shared both are the same tensor; where
    the candidates' shifts are not known the second is None.
    """
    logits = cosines(rows, candidate) * inverse_temperature
    if problem.shared_shift:
        both = tf.exp(logits - shared_shift(inverse_temperature))
        if problem.leaves_self_out:
            both = tf.where(_itself(rows, candidate), tf.zeros_like(both), both)
        return both, both
    logits = tf.where(pairs(problem, rows, candidate), logits, -float("inf"))

    def weights(shift: tf.Tensor) -> tf.Tensor:
        # Logits exceed it only where rows or columns are mere filling.
        return tf.exp(tf.minimum(logits - shift, 0))

    of_rows = weights(matrix(rows["shift"])[:, :, tf.newaxis])
    known = "shift" in candidate
    return of_rows, weights(candidate["shift"][:, tf.newaxis, :]) if known else None


def shared_shift(inverse_temperature: tf.Tensor) -> tf.Tensor:
    """The shift that keeps the exponentials of all possible logits within float32."""
    return inverse_temperature - tf.maximum(2 * inverse_temperature - _RANGE, 0)


def target_weights(
    problem: LossSettings, rows: ImageBlock, columns: ImageBlock
) -> tuple[tuple[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor] | None]:
    """`target_weight` `[n, m]` by the largest similarities of the rows, and by the columns'.

    The weight is 0 between views of one image: the caller accounts for these. As for
    `predicted_weights`, both may be the same, and the second may be None.
    """
    similarity = similarities(problem, rows, columns)

    def weights(largest: tf.Tensor | float) -> tuple[tf.Tensor, tf.Tensor]:
        weight, logits = target_weight(problem, similarity, largest)
        return tf.where(_same_image(rows, columns), tf.zeros_like(weight), weight), logits

    if problem.own_candidates:  # Their similarity of 1 is the largest of any row.
        both = weights(1.0)
        return both, both
    of_columns = weights(columns["largest"][tf.newaxis, :]) if "largest" in columns else None
    return weights(rows["largest"][:, tf.newaxis]), of_columns


def target_weight(
    problem: LossSettings, similarity: tf.Tensor, largest: tf.Tensor | float
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


def cosines(rows: ImageBlock, candidate: ImageBlock) -> tf.Tensor:
    """Cosines `[S, K n, m]` of anchors and candidates."""
    return product(matrix(rows["views"]), candidate["views"], (2, 2))


def side_parts(prepared: Side) -> ImageBlock:
    """Returns prepared side information as parts of a block, nested dicts as "side/NAME/NAME"."""
    if not isinstance(prepared, Mapping):
        return {_SIDE: prepared}
    return {
        f"{_SIDE}/{name}{path.removeprefix(_SIDE)}": values
        for name, part in prepared.items()
        for path, values in side_parts(part).items()
    }


def side_of(block: ImageBlock) -> Side:
    """Returns a block's side information in the form in which the graph prepared it."""
    result: dict[str, Any] = {}
    for path, values in block.items():
        *folders, name = path.split("/")
        place = result
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = values
    return result[_SIDE]


def similarities(problem: LossSettings, rows: ImageBlock, columns: ImageBlock) -> tf.Tensor:
    """The graph's `[n, m]`, in the embeddings' dtype."""
    dtype = rows["views"].dtype
    by = functools.partial(product, axes=(1, 1))
    similarity = problem.graph.compare_by(by, side_of(rows), side_of(columns))
    if similarity.shape != (count(rows), count(columns)):
        raise InputError(
            f"{type(problem.graph).__name__}: expected `compare` to return "
            f"[{count(rows)}, {count(columns)}], received {similarity.shape}"
        )
    return tf.cast(similarity, dtype)


def pairs(problem: LossSettings, rows: ImageBlock, candidate: ImageBlock) -> tf.Tensor:
    """Bool `[K n, m]`: pairs of views of real images, other than a view and itself."""
    real = tf.tile(_real(rows, candidate), [problem.views_per_side, 1])
    return real & ~_itself(rows, candidate) if problem.leaves_self_out else real


def other_images(rows: ImageBlock, columns: ImageBlock) -> tf.Tensor:
    """Bool `[n, m]`: pairs of different, real images."""
    return _real(rows, columns) & ~_same_image(rows, columns)


def _real(rows: ImageBlock, columns: ImageBlock) -> tf.Tensor:
    """Bool `[n, m]`: pairs of real images."""
    left, right = (block.get("real", tf.ones_like(block["place"])) > 0 for block in (rows, columns))
    return left[:, tf.newaxis] & right[tf.newaxis, :]


def _same_image(rows: ImageBlock, columns: ImageBlock) -> tf.Tensor:
    """Bool `[n, m]`: where an image meets itself.

    A diagonal, since places are consecutive; XLA makes comparisons of stored numbers much slower.
    """
    return _differences(count(rows), count(columns)) == columns["place"][0] - rows["place"][0]


def _itself(rows: ImageBlock, candidate: ImageBlock) -> tf.Tensor:
    """Bool `[K n, m]`: where a view meets itself, on one side."""
    n, views = count(rows), rows["views"].shape[1]
    same_view = tf.range(views * n) // n == candidate["view"]
    first = candidate["view"] * n + candidate["place"][0] - rows["place"][0]
    return (_differences(views * n, count(candidate)) == first) & same_view[:, tf.newaxis]


def _differences(rows: int, columns: int) -> tf.Tensor:
    """Int32 `[rows, columns]`: i - j."""
    return tf.range(rows)[:, tf.newaxis] - tf.range(columns)[tf.newaxis, :]


def image_axis(name: str) -> int:
    """Which axis of a tile's block holds the images."""
    return _IMAGE_AXIS.get(name, 0)


def count(block: ImageBlock) -> int:
    """The number of images n."""
    return block["place"].shape[0]


def matrix(values: tf.Tensor) -> tf.Tensor:
    """`[S, K, n, ...]` to `[S, K n, ...]`."""
    sides, views, images, *rest = values.shape
    return tf.reshape(values, [sides, views * images, *rest])


def by_view(values: tf.Tensor, images: int) -> tf.Tensor:
    """`[S, ..., K n]` to `[S, ..., K, n]`."""
    *rest, views = values.shape
    return tf.reshape(values, [*rest, views // images, images])


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
