"""The exact loss in memory linear in the batch: matrices are made by tiles, reduced, thrown away.

The forward pass keeps sums of each row. The backward pass makes the tiles again and, since both
matrices are symmetric, gives each anchor its whole gradient, that of its own row and that of its
places in the rows of others, so that no gradient crosses replicas:

    dL/dz_i = 1/tau sum_j [w_i (p_ij - s_ij) + w_j (p_ji - s_ji)] z_j

The target's part is the same for all views of a pair of images: it is made once for them.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from xsample_tf.graphs.base import Side
from xsample_tf.losses import cross_replica
from xsample_tf.losses.tiled import tile
from xsample_tf.losses.tiled.scan import scan_tiles
from xsample_tf.losses.tiled.tile import ImageBlock, LossSettings, count


def tiled_rows(
    problem: LossSettings, views: tf.Tensor, prepared: Side, temperature: tf.Tensor
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Loss and statistics of each image, by tiles.

    Args:
        problem: What to compute.
        views: Float `[B, V, D]` of unit length, a replica's own; the shape must be known.
        prepared: `[B, ...]`, the same images' side information as the graph prepared it: a tensor,
            or dicts of them.
        temperature: Scalar tensor, in the views' dtype.

    Returns:
        As `dense_rows`: the loss `[B]`, with gradients by views and temperature, and statistics.
    """
    batch, _, size = views.shape
    forward, backward = _compiled(problem)

    @tf.custom_gradient
    def rows(views: tf.Tensor, temperature: tf.Tensor) -> tuple[Any, Callable]:
        anchors = {"views": views, "place": cross_replica.places(batch)}
        anchors |= tile.side_parts(prepared)
        # Else the tape would look for gradients of what is inside.
        anchors = {name: tf.stop_gradient(values) for name, values in anchors.items()}
        temperature = tf.stop_gradient(temperature)
        # Gathered outside of the compiled functions, which cannot hold collectives.
        images = anchors
        if not problem.symmetric:
            own = anchors.keys() - {"place"}
            images = {name: cross_replica.gather(anchors[name]) for name in sorted(own)}
            images["place"] = tf.range(images["views"].shape[0])
        loss, statistics, own, sums = forward(anchors, images, temperature)

        def gradient(upstream: tf.Tensor, *unused: Any) -> tuple[tf.Tensor, tf.Tensor]:
            known = sums | {"upstream": upstream}
            known_of_all = known if problem.symmetric else _gathered(known)
            return backward(anchors | known | {"own": own}, images | known_of_all, temperature)

        return (loss, statistics), gradient

    by_side = [batch, problem.sides, problem.views_per_side, size]
    return rows(tf.reshape(views, by_side), temperature)


def _gathered(block: ImageBlock) -> ImageBlock:
    """A few numbers of each row from all replicas, in one collective."""
    flat = [tf.reshape(values, [values.shape[0], -1]) for values in block.values()]
    parts = tf.split(cross_replica.gather(tf.concat(flat, 1)), [part.shape[1] for part in flat], 1)
    return {
        name: tf.reshape(part, [-1, *values.shape[1:]])
        for (name, values), part in zip(block.items(), parts, strict=True)
    }


@functools.lru_cache(maxsize=32)
def _compiled(problem: LossSettings) -> tuple[Callable, Callable]:
    """Both passes, compiled by XLA for each shape."""
    return tuple(
        tf.function(functools.partial(one, problem), jit_compile=True, autograph=False)
        for one in (_forward, _backward)
    )


def _forward(
    problem: LossSettings, anchors: ImageBlock, images: ImageBlock, temperature: tf.Tensor
) -> tuple[tf.Tensor, ImageBlock, tf.Tensor, ImageBlock]:
    """Loss and statistics of the anchors' images, and what the backward pass needs to know.

    That is the target's weight of an own view, of the anchors, and the sums of all rows.
    """
    inverse = 1 / temperature
    by_view, by_image = (problem.sides, problem.views_per_side), ()
    wanted = {} if problem.shared_shift else {"shift": by_view}
    wanted |= {} if problem.own_candidates else {"largest": by_image}
    shifts = scan_tiles(problem, _largest, wanted, anchors, images, inverse, tf.maximum)
    anchors = anchors | shifts
    images = anchors if problem.symmetric else images
    wanted = {"predicted": by_view} | dict.fromkeys(("target", "logits", "cosines"), by_image)
    sums = scan_tiles(problem, _sums, wanted, anchors, images, inverse)
    shift = shifts.get("shift", tile.shared_shift(inverse))
    log_partition = tf.reduce_mean(shift + tf.math.log(sums["predicted"]), axis=[1, 2])

    # Views of the anchor's own image have similarity 1 and are left out of the tiles.
    largest = shifts.get("largest", tf.ones_like(log_partition))
    own, own_logits = tile.target_weight(problem, tf.ones_like(largest), largest)
    own = own if problem.own_candidates else tf.zeros_like(own)
    own_total = problem.own_candidates * own
    partition = problem.views_per_side * sums["target"] + own_total
    logits = (problem.views_per_side * sums["logits"] + own_total * own_logits) / partition
    own_cosines = tf.reduce_sum(anchors["views"] * _own_partners(problem, anchors), [1, 2, 3])
    cosines = (sums["cosines"] + own * own_cosines) / partition / problem.views
    others = problem.views_per_side - (problem.sides == 1)
    statistics = {
        "target_entropy": tf.math.log(partition) - logits,
        "own_mass": others * own / partition,
        "log_partition": log_partition,
    }
    saved = {"predicted": sums["predicted"], "target": partition, **shifts}
    return log_partition - cosines * inverse, statistics, own, saved


def _backward(
    problem: LossSettings, anchors: ImageBlock, images: ImageBlock, temperature: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The gradients by the anchors' views `[b, S, K, D]` and, their share, by temperature."""
    inverse = 1 / temperature
    anchors, images = _for_pulls(problem, anchors), _for_pulls(problem, images)
    _, sides, views, size = anchors["views"].shape
    wanted = {"pull": (sides, size, views)}
    pull = _transposed(scan_tiles(problem, _pulls, wanted, anchors, images, inverse)["pull"])
    own = 2 * anchors["own"] * anchors["target_factor"]
    own = own[:, tf.newaxis, tf.newaxis, tf.newaxis] * _own_partners(problem, anchors)
    gradient = (pull - own) * inverse
    # The loss is a function of z_i.z_j / tau, of degree 2 in z and -1 in tau (Euler's theorem).
    return gradient, -tf.reduce_sum(anchors["views"] * gradient) * inverse / 2


def _for_pulls(problem: LossSettings, block: ImageBlock) -> ImageBlock:
    """The block with what turns weights into probabilities times the weight of their row."""
    upstream = block["upstream"] / problem.views
    return block | {
        "predicted_factor": upstream[:, tf.newaxis, tf.newaxis] / block["predicted"],
        "target_factor": upstream / block["target"],
        # XLA's CPU product is several times slower where a large factor has to be transposed.
        "transposed": _transposed(block["views"]),
    }


def _transposed(values: tf.Tensor) -> tf.Tensor:
    """`[n, S, K, D]` to `[n, S, D, K]`, or back."""
    return tf.transpose(values, [0, 1, 3, 2])


def _own_partners(problem: LossSettings, block: ImageBlock) -> tf.Tensor:
    """The sum `[n, S, K, D]` of each view's candidates that are of its own image."""
    views = block["views"]
    partners = tf.reverse(tf.reduce_sum(views, axis=2, keepdims=True), [1])
    return partners - views if problem.leaves_self_out else partners + tf.zeros_like(views)


def _largest(
    problem: LossSettings, rows: ImageBlock, columns: ImageBlock, inverse: tf.Tensor
) -> list[ImageBlock]:
    """The largest logits and similarities of a tile's rows, and columns, where sums need them."""
    results = [{}, {}][: 1 + problem.symmetric]
    nothing = tf.constant(-float("inf"), rows["views"].dtype)
    if not problem.shared_shift:
        of_rows, of_columns = [], []
        for candidate in tile.candidates(columns):
            logits = tile.cosines(rows, candidate) * inverse
            logits = tf.where(tile.pairs(problem, rows, candidate), logits, nothing)
            of_rows.append(tf.reduce_max(logits, 2))
            of_columns.append(tf.reduce_max(logits, 1))
        shifts = (
            tile.by_view(tf.reduce_max(tf.stack(of_rows), 0), count(rows)),
            tile.joined(of_columns),
        )
        for result, shift in zip(results, shifts, strict=False):
            result["shift"] = shift
    if not problem.own_candidates:
        similarity = tile.similarities(problem, rows, columns)
        similarity = tf.where(tile.other_images(rows, columns), similarity, nothing)
        for result, axis in zip(results, (1, 0), strict=False):
            result["largest"] = tf.reduce_max(similarity, axis)
    return results


def _sums(
    problem: LossSettings, rows: ImageBlock, columns: ImageBlock, inverse: tf.Tensor
) -> list[ImageBlock]:
    """What a tile adds to the sums of its rows, and of its columns where these are anchors too."""
    of_rows, of_columns, cosines = [], [], []
    for candidate in tile.candidates(columns):
        by_row, by_column = tile.predicted_weights(problem, rows, candidate, inverse)
        of_rows.append(tf.reduce_sum(_of_real(by_row, columns, 1), 2))
        if problem.symmetric:
            of_columns.append(tf.reduce_sum(_of_real(by_column, rows, 0), 1))
        pairs = tf.reshape(tile.cosines(rows, candidate), [-1, count(rows), count(columns)])
        cosines.append(tf.reduce_sum(pairs, 0))
    of_rows, cosines = tf.add_n(of_rows), tf.add_n(cosines)
    results = [{"predicted": tile.by_view(of_rows, count(rows))}]
    if problem.symmetric:
        results.append({"predicted": tile.joined(of_columns)})
    target = tile.target_weights(problem, rows, columns)
    for result, axis, others, of_target in zip(
        results, (1, 0), (columns, rows), target, strict=False
    ):
        weight, logits = of_target
        weight = _of_real(weight, others, axis)
        result["target"] = tf.reduce_sum(weight, axis)
        result["logits"] = tf.reduce_sum(weight * logits, axis)
        result["cosines"] = tf.reduce_sum(weight * cosines, axis)
    return results


def _of_real(weights: tf.Tensor, others: ImageBlock, axis: int) -> tf.Tensor:
    """The weights `[..., n, m]` without those of `others`, on that axis, that only fill a tile."""
    if "real" not in others:
        return weights
    real = tf.tile(others["real"], [weights.shape[axis - 2] // count(others)])
    return weights * tf.expand_dims(real, 1 - axis)


def _pulls(
    problem: LossSettings, rows: ImageBlock, columns: ImageBlock, inverse: tf.Tensor
) -> list[ImageBlock]:
    """What a tile adds to the gradients by cosines, times the other view: of rows, of columns."""
    (by_row, _), (by_column, _) = tile.target_weights(problem, rows, columns)
    row_factor = rows["target_factor"][:, tf.newaxis]
    column_factor = columns["target_factor"][tf.newaxis, :]
    # Else XLA would make it again for each view.
    (target,) = xla.optimization_barrier(by_row * row_factor + by_column * column_factor)
    row_factor = tile.matrix(rows["predicted_factor"])[:, :, tf.newaxis]
    of_rows, of_columns = [], []
    for candidate in tile.candidates(columns):
        by_row, by_column = tile.predicted_weights(problem, rows, candidate, inverse)
        column_factor = candidate["predicted_factor"][:, tf.newaxis, :]
        if by_row is by_column:
            weights = by_row * (row_factor + column_factor)
        else:
            weights = by_row * row_factor + by_column * column_factor
        pairs = tf.reshape(weights, [problem.sides, problem.views_per_side, *target.shape])
        weights = tf.reshape(pairs - target, weights.shape)
        of_rows.append(tile.product(candidate["transposed"], weights, (2, 2)))
        if problem.symmetric:
            transposed = tf.reshape(rows["transposed"], [*of_rows[0].shape])
            of_columns.append(tile.product(transposed, weights, (2, 1)))
    results = [{"pull": tile.by_view(tf.add_n(of_rows), count(rows))}]
    return [*results, {"pull": tile.joined(of_columns)}] if problem.symmetric else results
