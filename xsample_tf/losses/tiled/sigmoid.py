"""The sigmoid loss in tiles: memory linear in the batch, exact gradients.

As in `tiled/loss.py`, the forward pass keeps sums of each row, the backward pass makes the tiles
again, and each anchor gets its whole gradient, that of its own row and that of its places in the
rows of others:

    dL/dx_i = 1/tau sum_j (w_i + w_j) / 2 (p_ij - [i = j]) y_j
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from xsample_tf.losses import cross_replica
from xsample_tf.losses.tiled import tile
from xsample_tf.losses.tiled.scan import scan_tiles
from xsample_tf.losses.tiled.tile import ImageBlock


@dataclasses.dataclass(frozen=True)
class SigmoidSettings:
    """What does not change from batch to batch.

    Attributes:
        tile: Images in a tile.
        symmetric: Whether the anchors are the candidates, so that the upper triangle is enough.
    """

    tile: int
    symmetric: bool


def tiled_sigmoid_rows(
    settings: SigmoidSettings, views: tf.Tensor, temperature: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Loss and statistics of each image, by tiles.

    Args:
        settings: How to compute it.
        views: Float `[B, 2, D]` of unit length, image and text, a replica's own; the shape must be
            known.
        temperature: Scalar tensor, in the views' dtype.
        bias: Scalar tensor, in the views' dtype.

    Returns:
        As `dense_sigmoid_rows`, with gradients by views, temperature and bias.
    """
    batch, sides, size = views.shape
    forward, backward = _compiled(settings)

    @tf.custom_gradient
    def rows(views: tf.Tensor, temperature: tf.Tensor, bias: tf.Tensor) -> tuple[Any, Callable]:
        # Else the tape would look for gradients of what is inside.
        views, temperature, bias = map(tf.stop_gradient, (views, temperature, bias))
        anchors = {"views": views, "place": cross_replica.places(batch)}
        # Gathered outside of the compiled functions, which cannot hold collectives.
        images = anchors
        if not settings.symmetric:
            images = {"views": cross_replica.gather(views)}
            images["place"] = tf.range(images["views"].shape[0])

        def gradient(upstream: tf.Tensor, *unused: Any) -> tuple[tf.Tensor, ...]:
            known = anchors | {"upstream": upstream}
            known_of_all = images | {"upstream": cross_replica.gather(upstream)}
            return backward(known, known_of_all, temperature, bias)

        return forward(anchors, images, temperature, bias), gradient

    return rows(tf.reshape(views, [batch, sides, 1, size]), temperature, bias)


@functools.lru_cache(maxsize=32)
def _compiled(settings: SigmoidSettings) -> tuple[Callable, Callable]:
    """Both passes, compiled by XLA for each shape."""
    return tuple(
        tf.function(functools.partial(one, settings), jit_compile=True, autograph=False)
        for one in (_forward, _backward)
    )


def _forward(
    settings: SigmoidSettings,
    anchors: ImageBlock,
    images: ImageBlock,
    temperature: tf.Tensor,
    bias: tf.Tensor,
) -> tuple[tf.Tensor, ImageBlock]:
    """Loss and statistics of the anchors' images."""
    inverse = 1 / temperature
    visit = functools.partial(_costs, bias)
    costs = scan_tiles(settings, visit, {"costs": ()}, anchors, images, inverse)["costs"]
    own = _own_logits(anchors, inverse, bias)
    return costs / 2 + tf.math.softplus(-own), {"own_probability": tf.sigmoid(own)}


def _backward(
    settings: SigmoidSettings,
    anchors: ImageBlock,
    images: ImageBlock,
    temperature: tf.Tensor,
    bias: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The gradients by the anchors' views and, their share, by temperature and bias."""
    inverse = 1 / temperature
    views = anchors["views"]
    size = views.shape[-1]
    anchors, images = (
        # XLA's CPU product is several times slower where a large factor has to be transposed.
        block | {"transposed": tf.transpose(block["views"], [0, 1, 3, 2])}
        for block in (anchors, images)
    )
    visit = functools.partial(_pulls, bias)
    wanted = {"pull": (2, size, 1), "weight": ()}
    sums = scan_tiles(settings, visit, wanted, anchors, images, inverse)
    own = -anchors["upstream"] * tf.sigmoid(-_own_logits(anchors, inverse, bias))
    partners = tf.reverse(views, [1])
    pull = tf.transpose(sums["pull"], [0, 1, 3, 2])
    gradient = (pull + own[:, tf.newaxis, tf.newaxis, tf.newaxis] * partners) * inverse
    # The logits less the bias are of degree 2 in the views and -1 in tau (Euler's theorem).
    by_temperature = -tf.reduce_sum(views * gradient) * inverse / 2
    # An image's anchors are two, and a pair belongs to two images.
    by_bias = tf.reduce_sum(sums["weight"]) / 2 + tf.reduce_sum(own)
    return gradient, by_temperature, by_bias


def _own_logits(block: ImageBlock, inverse: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """The logits `[n]` of images and their own texts."""
    return tf.reduce_sum(tf.reduce_prod(block["views"], axis=1), axis=[1, 2]) * inverse + bias


def _costs(
    bias: tf.Tensor,
    settings: SigmoidSettings,
    rows: ImageBlock,
    columns: ImageBlock,
    inverse: tf.Tensor,
) -> list[ImageBlock]:
    """What a tile adds to the costs of its rows, and of its columns where these are anchors too."""
    logits, counted = _logits(rows, columns, inverse, bias)
    costs = tf.reduce_sum(counted * tf.math.softplus(logits), axis=0)
    return [{"costs": tf.reduce_sum(costs, axis)} for axis in (1, 0)[: 1 + settings.symmetric]]


def _pulls(
    bias: tf.Tensor,
    settings: SigmoidSettings,
    rows: ImageBlock,
    columns: ImageBlock,
    inverse: tf.Tensor,
) -> list[ImageBlock]:
    """What a tile adds to the gradients by logits, times the other view: of rows, of columns."""
    logits, counted = _logits(rows, columns, inverse, bias)
    upstream = rows["upstream"][:, tf.newaxis] + columns["upstream"][tf.newaxis, :]
    weights = (upstream / 2 * counted) * tf.sigmoid(logits)
    totals = tf.reduce_sum(weights, axis=0)
    (candidate,) = tile.candidates(columns)
    pull = tile.product(candidate["transposed"], weights, (2, 2))
    results = [{"pull": pull[:, :, tf.newaxis], "weight": tf.reduce_sum(totals, 1)}]
    if settings.symmetric:
        pull = tile.product(rows["transposed"][:, :, 0], weights, (2, 1))
        results.append({"pull": tile.joined([pull]), "weight": tf.reduce_sum(totals, 0)})
    return results


def _logits(
    rows: ImageBlock, columns: ImageBlock, inverse: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits `[2, n, m]` of images and texts, and which `[n, m]` are of different, real ones.

    First those of the rows' images to the columns' texts, then of the rows' texts to the images.
    """
    (candidate,) = tile.candidates(columns)
    logits = tile.cosines(rows, candidate) * inverse + bias
    return logits, tf.cast(tile.other_images(rows, columns), logits.dtype)
