"""AutoAugment's operations (arXiv 1805.09501, appendix) in stateless TensorFlow.

They act on uint8 `[H, W, 3]` and give what Pillow gives. What magnitudes 0 to 9 mean, the
random direction of Color, Contrast and Sharpness, and black beyond the border are those of
torchvision's `AutoAugment`. XLA compiles them, for each shape of image anew; of contrast, color and
sharpness it rounds some pixels otherwise, by one.
"""

import functools
import math

import tensorflow as tf

from xsample_tf.data.views import geometry

_compiled = functools.partial(tf.function, jit_compile=True, autograph=False)


@_compiled
def posterize(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Keeps the upper 8 - round(4 |level|) bits."""
    dropped = tf.cast(tf.round(4 * tf.abs(level)), tf.uint8)
    return tf.bitwise.left_shift(tf.bitwise.right_shift(image, dropped), dropped)


@_compiled
def solarize(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Inverts the values from 255 (1 - |level|) up."""
    return tf.where(tf.cast(image, tf.float32) < 255 * (1 - tf.abs(level)), image, 255 - image)


@_compiled
def invert(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """255 minus the value."""
    del level
    return 255 - image


def auto_contrast(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Stretches each channel to 0 ... 255."""
    del level
    darkest, brightest = _extremes(image)
    # Not compiled: XLA rounds otherwise than Pillow.
    values = tf.range(256, dtype=tf.float64)[:, tf.newaxis]
    scale = 255.0 / tf.maximum(brightest - darkest, 1)
    table = tf.where(brightest > darkest, values * scale - darkest * scale, values)
    return _look_up(image, table)


@_compiled
def _extremes(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The smallest and the largest value of each channel, float64 `[3]`."""
    return tuple(
        tf.cast(reduce(image, axis=[0, 1]), tf.float64) for reduce in (tf.reduce_min, tf.reduce_max)
    )


@_compiled
def equalize(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Gives each channel a flat histogram."""
    del level
    bins = tf.cast(image, tf.int32) * 3 + tf.range(3)
    # Unlike tf.math.bincount, of a size that does not depend on the values.
    counts = tf.raw_ops.DenseBincount(
        input=tf.reshape(bins, [-1]), size=768, weights=tf.zeros([0], tf.int32)
    )
    counts = tf.reshape(counts, [256, 3])
    brightest = tf.cast(tf.reduce_max(image, axis=[0, 1]), tf.int32)
    last = tf.gather(tf.transpose(counts), brightest, batch_dims=1)
    step = (tf.reduce_sum(counts, axis=0) - last) // 255
    table = (step // 2 + tf.cumsum(counts, exclusive=True)) // tf.maximum(step, 1)
    return _look_up(image, tf.where(step > 0, table, tf.range(256)[:, tf.newaxis]))


@_compiled
def contrast(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Multiplies the distance from the mean grey by 1 + 0.9 level."""
    mean = tf.reduce_mean(tf.cast(_gray(image), tf.float32))
    return _blend(tf.floor(mean + 0.5), image, level)


@_compiled
def color(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Multiplies the distance from grey by 1 + 0.9 level."""
    return _blend(tf.cast(_gray(image), tf.float32), image, level)


@_compiled
def sharpness(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Multiplies the distance from the smoothed image by 1 + 0.9 level."""
    values = tf.cast(image, tf.float32)
    inner = values[1:-1, 1:-1]
    around = tf.nn.avg_pool2d(values[tf.newaxis], 3, 1, "VALID")[0] * 9
    smooth = tf.floor((around + 4 * inner) / 13 + 0.5)
    # Pillow leaves the outermost pixels as they are.
    change = tf.pad(smooth - inner, [[1, 1], [1, 1], [0, 0]])
    return _blend(values + change, image, level)


def shear_x(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Takes row y from 0.3 level y further right."""
    return geometry.affine(image, tf.stack([1.0, 0.3 * level, 0.0, 0.0, 1.0, 0.0]))


def rotate(image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Turns by 30 level degrees about the centre, anticlockwise."""
    angle = level * math.radians(30)
    sine, cosine = tf.sin(angle), tf.cos(angle)
    y, x = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32) / 2)
    rows = [cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y]
    return geometry.affine(image, tf.stack(rows))


# Each takes (image, level), the level in [-1, 1] being magnitude / 9 with a random sign.
OPERATIONS = {
    operation.__name__: operation
    for operation in (
        posterize,
        solarize,
        invert,
        auto_contrast,
        equalize,
        contrast,
        color,
        sharpness,
        shear_x,
        rotate,
    )
}


@_compiled
def _look_up(image: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """Replaces each value by its channel's entry in `[256, 3]`."""
    table = tf.cast(tf.clip_by_value(table, 0, 255), tf.uint8)
    channels = [tf.gather(table[:, c], tf.cast(image[..., c], tf.int32)) for c in range(3)]
    return tf.stack(channels, axis=-1)


def _gray(image: tf.Tensor) -> tf.Tensor:
    """Pillow's luminance, int32 `[H, W, 1]`."""
    weighted = tf.cast(image, tf.int32) * tf.constant([19595, 38470, 7471])
    return (tf.reduce_sum(weighted, axis=-1, keepdims=True) + 32768) // 65536


def _blend(base: tf.Tensor, image: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    blended = base + (1 + 0.9 * level) * (tf.cast(image, tf.float32) - base)
    return tf.cast(tf.clip_by_value(blended, 0.0, 255.0), tf.uint8)
