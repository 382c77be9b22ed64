"""Where a view comes from: windows of an image, flips, and resampling to a square.

All randomness arrives as numbers drawn elsewhere, uniform in [0, 1).
"""

import math

import tensorflow as tf

ATTEMPTS = 10  # Windows tried before the central one is taken, as torchvision does.
WINDOW_DRAWS = 2 * ATTEMPTS + 2


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


def crop(image: tf.Tensor, window: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
    """The window `[4]` (top, left, height, width) of an image, mirrored where `flip` is true."""
    part = tf.slice(
        image, tf.concat([window[:2], [0]], axis=0), tf.concat([window[2:], [-1]], axis=0)
    )
    # The older kernel takes a tensor of truth values, which saves a conditional.
    return tf.raw_ops.Reverse(tensor=part, dims=tf.stack([False, flip, False]))


def resize(image: tf.Tensor, size: int) -> tf.Tensor:
    """Resamples `[H, W, 3]` to a square.

    What becomes smaller is averaged over the area that a pixel comes from, what becomes larger is
    interpolated linearly: exact filters, several times faster here than one triangle for both.

    Args:
        image: uint8, or floating in [0, 1].
        size: Side of the result in pixels.

    Returns:
        float32 `[size, size, 3]` in [0, 1].
    """
    sides = tf.shape(image)[:2]
    smaller = tf.minimum(sides, size)

    def enlarge(part: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.ResizeBilinear(images=part, size=[size, size], half_pixel_centers=True)

    def reduce() -> tf.Tensor:
        return tf.raw_ops.ResizeArea(images=image[tf.newaxis], size=smaller)

    resampled = tf.case(
        [
            (tf.reduce_all(sides <= size), lambda: enlarge(image[tf.newaxis])),
            (tf.reduce_all(sides >= size), reduce),
        ],
        default=lambda: enlarge(reduce()),
    )
    return _in_unit_range(resampled[0], image.dtype, size)


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
    )
    return _in_unit_range(resampled[0], image.dtype, size)


def _in_unit_range(image: tf.Tensor, dtype: tf.DType, size: int) -> tf.Tensor:
    """A resampled image of pixels of this type."""
    image = image / 255.0 if dtype == tf.uint8 else image
    return tf.ensure_shape(tf.clip_by_value(image, 0.0, 1.0), [size, size, 3])


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
