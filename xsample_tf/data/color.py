"""Colour jitter, greyscale and blur, as SimCLR uses them (arXiv 2002.05709, appendix A).

All randomness arrives as numbers drawn elsewhere, uniform in [0, 1).
"""

import functools

import tensorflow as tf

JITTER_DRAWS = 9  # Whether, four amounts, four for the order.
_LUMINANCE = (0.2989, 0.587, 0.114)


def jitter(image: tf.Tensor, draws: tf.Tensor, strength: float, probability: float) -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue, in random order, clipping after each.

    Brightness, contrast and saturation are multiplied by a factor from [1 - 0.8s, 1 + 0.8s] (not
    below 0), hue is turned by up to 0.2s of the circle, where s is `strength`.

    Args:
        image: float32 `[H, W, 3]` in [0, 1].
        draws: float32 `[JITTER_DRAWS]`, uniform in [0, 1).
        strength: s.
        probability: Of any change.

    Returns:
        float32 `[H, W, 3]` in [0, 1].
    """
    low, high = max(0.0, 1 - 0.8 * strength), 1 + 0.8 * strength
    amounts = tf.unstack(low + (high - low) * draws[1:4])
    amounts.append(0.2 * strength * (2 * draws[4] - 1))

    def changed() -> tf.Tensor:
        result = image
        for step in tf.unstack(tf.argsort(draws[5:9])):
            branches = [
                functools.partial(change, result, amount)
                for change, amount in zip(_JITTER, amounts, strict=True)
            ]
            result = tf.switch_case(step, branches)
        return result

    return tf.cond(draws[0] < probability, changed, lambda: image)


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies by `factor`."""
    return tf.clip_by_value(image * factor, 0.0, 1.0)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the distance from each channel's mean by `factor`."""
    changed = tf.raw_ops.AdjustContrastv2(images=image, contrast_factor=factor)
    return tf.clip_by_value(changed, 0.0, 1.0)


def saturation(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the saturation of HSV by `factor`."""
    return tf.clip_by_value(tf.raw_ops.AdjustSaturation(images=image, scale=factor), 0.0, 1.0)


def hue(image: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Turns the hue of HSV by `turn`, a share of the circle."""
    return tf.clip_by_value(tf.raw_ops.AdjustHue(images=image, delta=turn), 0.0, 1.0)


_JITTER = (brightness, contrast, saturation, hue)


def grayscale(image: tf.Tensor, draw: tf.Tensor, probability: float) -> tf.Tensor:
    """Replaces the three channels by their luminance, with this probability."""

    def gray() -> tf.Tensor:
        luminance = tf.tensordot(image, tf.constant(_LUMINANCE), 1)[..., tf.newaxis]
        return tf.broadcast_to(luminance, tf.shape(image))

    return tf.cond(draw < probability, gray, lambda: image)


def blur(image: tf.Tensor, draws: tf.Tensor, probability: float) -> tf.Tensor:
    """Gaussian blur of sigma 0.1 to 2 pixels in a kernel of a tenth of the side.

    At the border the kernel is cut off and normalised again, so that it does not darken.

    Args:
        image: float32 `[S, S, 3]`, S static; below 20 pixels the kernel is one pixel.
        draws: float32 `[2]`, uniform in [0, 1): whether, and sigma.
        probability: Of any blur.
    """
    size = image.shape[0]
    radius = size // 10 // 2
    if radius == 0:
        return image

    def blurred() -> tf.Tensor:
        # Two products with a banded matrix are several times faster here than a convolution.
        kernel = _blur_matrix(size, radius, 0.1 + 1.9 * draws[1])
        rows = tf.reshape(kernel @ tf.reshape(image, [size, -1]), [size, size, 3])
        return tf.clip_by_value(tf.einsum("hwc,vw->hvc", rows, kernel), 0.0, 1.0)

    return tf.cond(draws[0] < probability, blurred, lambda: image)


def _blur_matrix(size: int, radius: int, sigma: tf.Tensor) -> tf.Tensor:
    """float32 `[size, size]`: row i weighs the pixels within `radius` of i, with sum 1."""
    distance = tf.range(size)[:, tf.newaxis] - tf.range(size)
    weights = tf.exp(-tf.square(tf.cast(distance, tf.float32) / sigma) / 2)
    weights = tf.where(tf.abs(distance) <= radius, weights, 0.0)
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)
