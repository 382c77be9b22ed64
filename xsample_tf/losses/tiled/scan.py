"""The way over all tiles of the cross-sample matrices, and what it leaves of them."""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from xsample_tf.losses.tiled.tile import ImageBlock, count, image_axis


def scan_tiles(
    problem: Any,
    visit: Callable[[Any, ImageBlock, ImageBlock, tf.Tensor], Any],
    wanted: dict[str, tuple[int, ...]],
    anchors: ImageBlock,
    images: ImageBlock,
    inverse: tf.Tensor,
    join: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = tf.add,
) -> ImageBlock:
    """Visits all tiles of anchors by images and joins what they give to each anchor.

    Args:
        problem: What `visit` is given first, with `tile`, the images in a tile, and `symmetric`:
            then only the tiles of the upper triangle are visited.
        visit: From the blocks of a tile to what its rows get of it and, in the triangle, its
            columns.
        wanted: The shape of what one image gets, by name.
        anchors: The rows of the matrices; here the images are the first axis of all tensors.
        images: Their columns, likewise.
        inverse: 1 / tau, for `visit`.
        join: tf.add or tf.maximum.

    Returns:
        By name, `[b, ...]` of the anchors.
    """
    if not wanted:
        return {}
    neutral = tf.constant(-float("inf") if join is tf.maximum else 0.0, inverse.dtype)
    wanted_rows = count(anchors)
    anchors, height = _for_tiles(anchors, problem.tile)
    images, width = _for_tiles(images, problem.tile)

    def filled(rows: int) -> ImageBlock:
        shapes = {name: list(shape) for name, shape in wanted.items()}
        for name, shape in shapes.items():
            shape.insert(image_axis(name), rows)
        return {name: tf.fill(shape, neutral) for name, shape in shapes.items()}

    def row_of_tiles(i: tf.Tensor, totals: ImageBlock) -> tuple[tf.Tensor, ImageBlock]:
        rows = _part(anchors, i, height)

        def tile(
            j: tf.Tensor, own: ImageBlock, totals: ImageBlock
        ) -> tuple[tf.Tensor, ImageBlock, ImageBlock]:
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
    return {
        name: _moved(values, image_axis(name), 0)[:wanted_rows] for name, values in totals.items()
    }


def _for_tiles(block: ImageBlock, tile: int) -> tuple[ImageBlock, int]:
    """The block as tiles have it, in whole ones of equal size, none above `tile`; and that size."""
    images = count(block)
    needed = math.ceil(images / tile)
    size = math.ceil(images / needed)
    if size * needed > images:
        rows = tf.range(size * needed)
        # Filled by copies, which any graph can relate; views of zeros add nothing to products.
        block = {
            name: tf.gather(values, tf.minimum(rows, images - 1)) for name, values in block.items()
        }
        real = tf.cast(rows < images, block["views"].dtype)
        for name in {"views", "transposed"} & block.keys():
            block[name] *= real[:, tf.newaxis, tf.newaxis, tf.newaxis]
        block |= {"place": block["place"][0] + rows, "real": real}
    return {name: _moved(values, 0, image_axis(name)) for name, values in block.items()}, size


def _moved(values: tf.Tensor, source: int, target: int) -> tf.Tensor:
    """The values with an axis moved to another place."""
    axes = list(range(len(values.shape)))
    axes.insert(target, axes.pop(source))
    return values if source == target else tf.transpose(values, axes)


def _part(block: ImageBlock, index: tf.Tensor, size: int) -> ImageBlock:
    parts = {}
    for name, values in block.items():
        shape = values.shape.as_list()
        shape[image_axis(name)] = size
        parts[name] = tf.slice(values, _begin(name, values, index * size), shape)
    return parts


def _joined(
    join: Callable, totals: ImageBlock, part: ImageBlock, index: tf.Tensor, size: int
) -> ImageBlock:
    """The totals with `part` joined to the block at `index`, in place."""
    before = _part(totals, index, size)
    return {
        name: xla.dynamic_update_slice(
            total, join(before[name], part[name]), _begin(name, total, index * size)
        )
        for name, total in totals.items()
    }


def _begin(name: str, values: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    """Where a part that starts with `image` begins."""
    begin = [0] * len(values.shape)
    begin[image_axis(name)] = image
    return tf.stack(begin)
