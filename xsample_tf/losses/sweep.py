"""The way over all tiles of the cross-sample matrices, and what it leaves of them."""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from xsample_tf.losses.tiles import Block, Problem, count


def sweep(
    problem: Problem,
    visit: Callable[[Problem, Block, Block, tf.Tensor], Any],
    wanted: dict[str, tuple[int, ...]],
    anchors: Block,
    images: Block,
    inverse: tf.Tensor,
    join: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = tf.add,
) -> Block:
    """Visits all tiles of anchors by images and joins what they give to each anchor.

    Args:
        problem: Where it is symmetric, tiles of the upper triangle are visited.
        visit: From the blocks of a tile to what its rows get of it and, in the triangle, its
            columns.
        wanted: The shape of what one image gets, by name.
        anchors: The rows of the matrices.
        images: Their columns.
        inverse: 1 / tau, for `visit`.
        join: tf.add or tf.maximum.

    Returns:
        By name, `[b, ...]` of the anchors.
    """
    if not wanted:
        return {}
    neutral = tf.constant(-float("inf") if join is tf.maximum else 0.0, inverse.dtype)
    wanted_rows = count(anchors)
    anchors, height = _padded(anchors, problem.tile)
    images, width = _padded(images, problem.tile)

    def filled(rows: int) -> Block:
        return {name: tf.fill([rows, *shape], neutral) for name, shape in wanted.items()}

    def row_of_tiles(i: tf.Tensor, totals: Block) -> tuple[tf.Tensor, Block]:
        rows = _part(anchors, i, height)

        def tile(j: tf.Tensor, own: Block, totals: Block) -> tuple[tf.Tensor, Block, Block]:
            of_rows, *of_columns = visit(problem, rows, _part(images, j, width), inverse)
            for others in of_columns:
                # On the diagonal the columns are the rows, which have their part already.
                others = {name: tf.where(i == j, neutral, others[name]) for name in wanted}
                totals = _joined(join, totals, others, j, width)
            return j + 1, {name: join(own[name], of_rows[name]) for name in wanted}, totals

        first = i if problem.symmetric else 0
        last = count(images) // width
        _, own, totals = tf.while_loop(
            lambda j, *_: j < last, tile, (first, filled(height), totals)
        )
        return i + 1, _joined(join, totals, own, i, height)

    last = count(anchors) // height
    _, totals = tf.while_loop(lambda i, _: i < last, row_of_tiles, (0, filled(count(anchors))))
    return {name: values[:wanted_rows] for name, values in totals.items()}


def _padded(block: Block, tile: int) -> tuple[Block, int]:
    """The block in whole tiles of equal size, none larger than `tile`, and that size."""
    images = count(block)
    needed = math.ceil(images / tile)
    size = math.ceil(images / needed)
    if size * needed == images:
        return block, size
    rows = tf.range(size * needed)
    # Filled by copies, which any graph can relate; views of zeros add nothing to products.
    filled = {
        name: tf.gather(values, tf.minimum(rows, images - 1)) for name, values in block.items()
    }
    real = tf.cast(rows < images, block["views"].dtype)
    filled["views"] *= real[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return filled | {"place": block["place"][0] + rows, "real": real}, size


def _part(block: Block, index: tf.Tensor, size: int) -> Block:
    return {
        name: tf.slice(
            values, [index * size, *[0] * (len(values.shape) - 1)], [size, *values.shape[1:]]
        )
        for name, values in block.items()
    }


def _joined(join: Callable, totals: Block, part: Block, index: tf.Tensor, size: int) -> Block:
    """The totals with `part` joined to the block at `index`, in place."""
    before = _part(totals, index, size)
    return {
        name: xla.dynamic_update_slice(
            total,
            join(before[name], part[name]),
            tf.stack([index * size, *[0] * (len(total.shape) - 1)]),
        )
        for name, total in totals.items()
    }
