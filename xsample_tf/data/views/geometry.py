"""Where a view comes from: windows of an image, flips, and resampling to a square.

All randomness arrives as numbers drawn elsewhere, uniform in [0, 1).
"""

import functools
import math
from collections.abc import Callable

import tensorflow as tf

ATTEMPTS = 10  # Windows tried before the central one is taken, as torchvision does.
WINDOW_DRAWS = 2 * ATTEMPTS + 2
_CANVASES = (1.25, 2.25, 4.75)  # Their sides, in sides of the result.


def random_windows(
    height: tf.Tensor,
    width: tf.Tensor,
    draws: tf.Tensor,
    min_scale: float,
    max_ratio: float = 4 / 3,
) -> tf.Tensor:
    """Random windows of an image, one for each row of `draws` (GoogLeNet's "Inception crop").

    The area is uniform between `min_scale` and 1 of the image's, the aspect ratio log-uniform
    between 1/`max_ratio` and `max_ratio`. A window that does not fit is drawn again, at most 10
    times; then it is the largest central window of an allowed ratio.

    Args:
        height: Of the image in pixels, an int32 scalar.
        width: As `height`.
        draws: Float32 `[V, WINDOW_DRAWS]`, uniform in [0, 1).
        min_scale: Smallest share of the image's area.
        max_ratio: Largest aspect ratio.

    Returns:
        int32 `[V, 4]`: top, left, height and width, at least 1x1 pixel and within the image.
    """
    limits = tf.cast(tf.stack([height, width]), tf.float32)
    area = limits[0] * limits[1] * (min_scale + (1 - min_scale) * draws[:, :ATTEMPTS])
    log_ratio = math.log(max_ratio) * (2 * draws[:, ATTEMPTS : 2 * ATTEMPTS] - 1)
    # Height and width of each try, [V, ATTEMPTS, 2].
    tries = tf.round(
        tf.sqrt(tf.stack([area * tf.exp(-log_ratio), area * tf.exp(log_ratio)], axis=-1))
    )
    fits = tf.reduce_all((tries >= 1) & (tries <= limits), axis=-1)
    first = tf.gather(tries, tf.argmax(fits, axis=1), axis=1, batch_dims=1)
    largest = tf.round(tf.minimum(limits, limits[::-1] * max_ratio))
    sides = tf.where(tf.reduce_any(fits, axis=1, keepdims=True), first, largest)
    random = draws[:, 2 * ATTEMPTS :]
    corner = tf.where(
        tf.reduce_any(fits, axis=1, keepdims=True),
        tf.floor(random * (limits - sides + 1)),
        tf.floor((limits - sides) / 2),
    )
    # Rounding of random * n in float32 can give n itself.
    corner = tf.minimum(corner, limits - sides)
    return tf.cast(tf.concat([corner, sides], axis=1), tf.int32)


def crop(image: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """The window `[4]` (top, left, height, width) of an image."""
    return tf.slice(
        image, tf.concat([window[:2], [0]], axis=0), tf.concat([window[2:], [-1]], axis=0)
    )


def resize_in_parts(
    image: tf.Tensor, size: int, across: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """What `resize` does, in two passes that XLA compiles, with a caller's own in the second.

    XLA compiles for fixed shapes: the image is laid on one of a few canvases.

    Args:
        image: uint8, or floating in [0, 1], `[H, W, 3]` of any size.
        size: Side of the result in pixels.
        across: Takes strips float32 `[C, 3, size]`, for C one of a few sizes, the resized columns
            of the image, and how many of them there are, int32; compiled, calls `squeeze`.

    Returns:
        What `across` returns.
    """
    sides = tf.shape(image)[:2]
    canvases = [math.ceil(size * ratio) for ratio in _CANVASES]

    def pass_through(image: tf.Tensor, canvas: int) -> tf.Tensor:
        height, width = tf.unstack(tf.shape(image)[:2])
        flat = tf.reshape(image, [height, 3 * width])
        flat = tf.pad(flat, [[0, canvas - height], [0, 3 * (canvas - width)]])
        flat = tf.ensure_shape(flat, [canvas, 3 * canvas])
        columns = tf.transpose(_squeeze_rows(flat, height, size))
        return across(tf.reshape(columns, [canvas, 3, size]), width)

    branches = [functools.partial(pass_through, image, canvas) for canvas in canvases]
    # What is larger than any canvas is resized before, and passes through as it is.
    branches.append(lambda: pass_through(resize(image, size), canvases[0]))
    too_small = tf.reduce_max(sides) > tf.constant(canvases)
    return tf.switch_case(tf.reduce_sum(tf.cast(too_small, tf.int32)), branches)


def squeeze(strips: tf.Tensor, width: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
    """The second pass of `resize_in_parts`.

    Args:
        strips: float32 `[C, 3, S]`.
        width: How many of the C columns are the image's, int32.
        flip: Whether to mirror it.

    Returns:
        float32 planes `[3, S, S]` in [0, 1], the columns of the image first and its rows second.
    """
    canvas, _, size = strips.shape
    first, weights = _taps(width, canvas, size, flip)
    planes = [
        _weighted_sum(strips[:, channel], first, weights) for channel in range(strips.shape[1])
    ]
    return tf.clip_by_value(tf.stack(planes), 0.0, 1.0)


@functools.partial(tf.function, jit_compile=True, autograph=False)
def _squeeze_rows(rows: tf.Tensor, height: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes the first `height` rows of `[C, ...]` to `size` rows, float32 in [0, 1]."""
    first, weights = _taps(height, rows.shape[0], size, tf.constant(False))
    weights = weights / 255 if rows.dtype == tf.uint8 else weights
    return _weighted_sum(rows, first, weights)


def _taps(
    length: tf.Tensor, canvas: int, size: int, flip: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Of a triangle as wide as two pixels of the result or the image, the larger ones.

    Args:
        length: Of the image, int32, at most `canvas`.
        canvas: How long it can be.
        size: Length of the result.
        flip: Whether to mirror.

    Returns:
        For each pixel of the result the first of the image's pixels, int32 `[size]`, and how it
        and those that follow count, float32 `[size, K]`, with sum 1.
    """
    length = tf.cast(length, tf.float32)
    scale = length / size
    radius = tf.maximum(scale, 1.0)
    centers = (tf.range(size, dtype=tf.float32) + 0.5) * scale
    centers = tf.where(flip, length - centers, centers)
    first = tf.floor(centers - radius + 0.5)
    count = max(2, math.ceil(2 * canvas / size))
    pixels = first[:, tf.newaxis] + tf.range(count, dtype=tf.float32)
    weights = 1 - tf.abs(pixels + 0.5 - centers[:, tf.newaxis]) / radius
    weights = tf.where((pixels >= 0) & (pixels < length), tf.maximum(weights, 0.0), 0.0)
    return tf.cast(first, tf.int32), weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def _weighted_sum(rows: tf.Tensor, first: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """float32 `[S, L]`: sums of rows of `[C, L]`, with weights `[S, K]` from row `first` on."""
    last = rows.shape[0] - 1
    return tf.add_n(
        [
            tf.cast(tf.gather(rows, tf.clip_by_value(first + tap, 0, last)), tf.float32)
            * weights[:, tap, tf.newaxis]
            for tap in range(weights.shape[1])
        ]
    )


def resize(image: tf.Tensor, size: int) -> tf.Tensor:
    """Resamples `[H, W, 3]` to a square by an antialiased triangle filter.

    Args:
        image: uint8, or floating in [0, 1].
        size: Side of the result in pixels.

    Returns:
        float32 `[size, size, 3]` in [0, 1].
    """
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    return _resample(image, size, size / sides, tf.zeros([2]))


def resize_center(image: tf.Tensor, size: int, share: float) -> tf.Tensor:
    """Resamples the central square, `share` of the shorter side wide, to `[size, size, 3]`.

    The same pixels as resizing the shorter side to `size / share` and cutting out the centre,
    without rounding that length. An image of that very size is taken whole and stays as it is.
    """
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    share = tf.where(tf.reduce_all(sides == size), 1.0, share)
    scale = size / (share * tf.reduce_min(sides)) * tf.ones([2])
    return _resample(image, size, scale, (size - scale * sides) / 2)


def _resample(image: tf.Tensor, size: int, scale: tf.Tensor, translation: tf.Tensor) -> tf.Tensor:
    resampled = tf.raw_ops.ScaleAndTranslate(
        images=image[tf.newaxis],
        size=[size, size],
        scale=scale,
        translation=translation,
        kernel_type="triangle",
        antialias=True,
    )[0]
    if image.dtype == tf.uint8:
        resampled /= 255.0
    return tf.ensure_shape(tf.clip_by_value(resampled, 0.0, 1.0), [size, size, 3])


def affine(image: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Moves the pixels of a uint8 image; the nearest pixel is taken, outside is black.

    Args:
        image: uint8 `[H, W, 3]`.
        matrix: Float32 `[6]`, (a, b, c, d, e, f): the result at (x, y) is the image at
            (ax + by + c, dx + ey + f), x to the right, with pixel centres at halves.

    Returns:
        uint8 `[H, W, 3]`.
    """
    a, b, c, d, e, f = tf.unstack(matrix)
    # The kernel's pixel centres are whole numbers.
    transform = tf.stack([a, b, c + (a + b - 1) / 2, d, e, f + (d + e - 1) / 2, 0.0, 0.0])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=transform[tf.newaxis],
        output_shape=tf.shape(image)[:2],
        fill_value=0.0,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )[0]
