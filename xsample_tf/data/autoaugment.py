"""AutoAugment's ImageNet policy (arXiv 1805.09501, appendix A) in stateless TensorFlow.

The operations follow Pillow's on 8-bit values, which the policy was found with; inside, a view is
float32 of whole numbers from 0 to 255.
"""

import math

import tensorflow as tf

FILL = 128.0


def imagenet_policy(view: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """One of the 25 pairs of operations, each applied with its own probability.

    Args:
        view: float32 `[H, W, 3]` in [0, 1].
        seed: int32 `[2]`.

    Returns:
        float32 `[H, W, 3]` in [0, 1].
    """
    chance = tf.random.stateless_uniform([5], seed)
    pair = tf.gather(tf.constant(_POLICY), tf.cast(chance[0] * len(_POLICY), tf.int32))
    image = tf.round(view * 255)
    for slot in range(2):
        operation, probability, magnitude = tf.unstack(pair[slot])
        sign = tf.where(chance[1 + slot] < 0.5, -1.0, 1.0)
        current = image
        branches = [
            lambda apply=apply, current=current, magnitude=magnitude, sign=sign: tf.ensure_shape(
                apply(current, magnitude, sign), view.shape
            )
            for apply in OPERATIONS.values()
        ]
        image = tf.cond(
            chance[3 + slot] < probability,
            lambda branches=branches, operation=operation: tf.switch_case(
                tf.cast(operation, tf.int32), branches
            ),
            lambda current=current: current,
        )
    return tf.clip_by_value(image / 255, 0, 1)


def posterize(image: tf.Tensor, magnitude: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """Keeps 8 to 4 bits."""
    step = tf.pow(2.0, tf.round(magnitude * 4 / 9))
    return tf.floor(image / step) * step


def solarize(image: tf.Tensor, magnitude: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """Inverts values from a threshold of 256 to 0 on."""
    return tf.where(image < 256 - 256 * magnitude / 9, image, 255 - image)


def invert(image: tf.Tensor, magnitude: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """255 minus the value."""
    return 255 - image


def autocontrast(image: tf.Tensor, magnitude: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """Stretches each channel to 0 and 255."""
    low = tf.reduce_min(image, axis=[0, 1])
    high = tf.reduce_max(image, axis=[0, 1])
    stretched = tf.floor(tf.math.divide_no_nan((image - low) * 255.0, high - low) + 1e-4)
    return tf.where(high > low, tf.clip_by_value(stretched, 0, 255), image)


def equalize(image: tf.Tensor, magnitude: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """Flattens each channel's histogram, as Pillow does."""
    channels = []
    for channel in tf.unstack(tf.cast(image, tf.int32), axis=-1):
        histogram = tf.math.bincount(tf.reshape(channel, [-1]), minlength=256, maxlength=256)
        last = tf.gather(histogram, tf.reduce_max(channel))
        step = (tf.size(channel) - last) // 255
        table = (tf.cumsum(histogram, exclusive=True) + step // 2) // tf.maximum(step, 1)
        equalized = tf.gather(tf.clip_by_value(table, 0, 255), channel)
        channels.append(tf.where(step > 0, equalized, channel))
    return tf.cast(tf.stack(channels, axis=-1), tf.float32)


def colorize(image: tf.Tensor, magnitude: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """More or less colour, by a factor of up to 1 +- 0.9."""
    return _blend(_luma(image), image, magnitude, sign)


def contrast(image: tf.Tensor, magnitude: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """More or less contrast, by a factor of up to 1 +- 0.9."""
    return _blend(tf.floor(tf.reduce_mean(_luma(image)) + 0.5), image, magnitude, sign)


def sharpen(image: tf.Tensor, magnitude: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """More or less sharpness, by a factor of up to 1 +- 0.9; the border stays as it is."""
    kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    kernel = tf.tile(kernel[:, :, None, None], [1, 1, 3, 1])
    smooth = tf.round(tf.nn.depthwise_conv2d(image[None], kernel, [1, 1, 1, 1], "SAME")[0])
    rows, columns = tf.range(tf.shape(image)[0]), tf.range(tf.shape(image)[1])
    inner_rows = (rows > 0) & (rows < tf.shape(image)[0] - 1)
    inner_columns = (columns > 0) & (columns < tf.shape(image)[1] - 1)
    inside = (inner_rows[:, None] & inner_columns[None, :])[..., None]
    return _blend(tf.where(inside, smooth, image), image, magnitude, sign)


def rotate(image: tf.Tensor, magnitude: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """Turns by up to 30 degrees about the centre."""
    angle = sign * magnitude / 9 * 30 * math.pi / 180
    cos, sin = tf.cos(angle), tf.sin(angle)
    y, x = tf.unstack((tf.cast(tf.shape(image)[:2], tf.float32) - 1) / 2)
    return _warp(image, [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y])


def shear_x(image: tf.Tensor, magnitude: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """Moves each row sideways, by up to 0.3 times its height above the bottom."""
    return _warp(image, [1.0, sign * magnitude / 9 * 0.3, 0.0, 0.0, 1.0, 0.0])


def _blend(other: tf.Tensor, image: tf.Tensor, magnitude: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    factor = 1 + sign * 0.9 * magnitude / 9
    return tf.floor(tf.clip_by_value(other + factor * (image - other), 0, 255) + 1e-3)


def _luma(image: tf.Tensor) -> tf.Tensor:
    weights = tf.constant([19595.0, 38470.0, 7471.0]) / 65536
    return tf.floor(tf.reduce_sum(image * weights, axis=-1, keepdims=True) + 0.5)


def _warp(image: tf.Tensor, affine: list) -> tf.Tensor:
    """Takes each pixel from `affine` times its place (x, y, 1), grey where that is outside."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=tf.stack([*affine, 0.0, 0.0])[None],
        output_shape=tf.shape(image)[:2],
        interpolation="NEAREST",
        fill_mode="CONSTANT",
        fill_value=FILL,
    )[0]


OPERATIONS = {
    "posterize": posterize,
    "solarize": solarize,
    "invert": invert,
    "autocontrast": autocontrast,
    "equalize": equalize,
    "color": colorize,
    "contrast": contrast,
    "sharpness": sharpen,
    "rotate": rotate,
    "shear_x": shear_x,
}
_TABLE = """
posterize 0.4 8 rotate 0.6 9
solarize 0.6 5 autocontrast 0.6 5
equalize 0.8 8 equalize 0.6 3
posterize 0.6 7 posterize 0.6 6
equalize 0.4 7 solarize 0.2 4
equalize 0.4 4 rotate 0.8 8
solarize 0.6 3 equalize 0.6 7
posterize 0.8 5 equalize 1.0 2
rotate 0.2 3 solarize 0.6 8
equalize 0.6 8 posterize 0.4 6
rotate 0.8 8 color 0.4 0
rotate 0.4 9 equalize 0.6 2
equalize 0.0 7 equalize 0.8 8
invert 0.6 4 equalize 1.0 8
color 0.6 4 contrast 1.0 8
rotate 0.8 8 color 1.0 2
color 0.8 8 solarize 0.8 7
sharpness 0.4 7 invert 0.6 8
shear_x 0.6 5 equalize 1.0 9
color 0.4 0 equalize 0.6 3
equalize 0.4 7 solarize 0.2 4
solarize 0.6 5 autocontrast 0.6 5
invert 0.6 4 equalize 1.0 8
color 0.6 4 contrast 1.0 8
equalize 0.8 8 equalize 0.6 3
"""
_NAMES = list(OPERATIONS)


def _row(line: str) -> list[list[float]]:
    words = line.split()
    return [
        [float(_NAMES.index(words[at])), float(words[at + 1]), float(words[at + 2])]
        for at in (0, 3)
    ]


# [25, 2, 3]: operation, probability, magnitude of 0 to 9.
_POLICY = [_row(line) for line in _TABLE.strip().splitlines()]
