"""Colour jitter, greyscale and blur, as SimCLR uses them (arXiv 2002.05709, appendix A).

All work on float32 planes `[3, H, W]` in [0, 1], where a channel's pixels lie side by side, so that
XLA makes fast code of them. All randomness arrives as numbers drawn elsewhere, uniform in [0, 1).
`color_batch` has the same for many images.
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
        image: float32 `[3, H, W]` in [0, 1].
        draws: float32 `[JITTER_DRAWS]`, uniform in [0, 1).
        strength: s.
        probability: Of any change.

    Returns:
        float32 `[3, H, W]` in [0, 1].
    """
    amounts = tf.unstack(jitter_amounts(draws[1:5], strength))
    order = tf.argsort(draws[5:9])

    def change(step: tf.Tensor, result: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        branches = [
            functools.partial(operation, result, amount)
            for operation, amount in zip(JITTER, amounts, strict=True)
        ]
        return step + 1, tf.switch_case(order[step], branches)

    def changed() -> tf.Tensor:
        return tf.while_loop(lambda step, _: step < len(JITTER), change, [0, image])[1]

    return tf.cond(draws[0] < probability, changed, lambda: image)


def jitter_amounts(draws: tf.Tensor, strength: float) -> tf.Tensor:
    """The factors of brightness, contrast, saturation, and the turn of the hue, from `[..., 4]`."""
    low, high = max(0.0, 1 - 0.8 * strength), 1 + 0.8 * strength
    return tf.concat(
        [low + (high - low) * draws[..., :3], 0.2 * strength * (2 * draws[..., 3:] - 1)], axis=-1
    )


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies planes `[..., 3, H, W]` by `factor`."""
    return tf.clip_by_value(image * factor, 0.0, 1.0)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the distance from each channel's mean by `factor`."""
    rows = tf.reduce_mean(image, axis=-2, keepdims=True)  # First along what XLA can vectorise.
    mean = tf.reduce_mean(rows, axis=-1, keepdims=True)
    return tf.clip_by_value(mean + (image - mean) * factor, 0.0, 1.0)


def saturation(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the saturation of HSV by `factor`, up to 1."""
    value, chroma = _value_and_chroma(image)
    # Of the saturation, chroma / value, at most 1 / saturation times as much is left to go.
    factor = tf.minimum(factor, tf.math.divide_no_nan(value, chroma))
    return tf.clip_by_value(value - (value - image) * factor, 0.0, 1.0)


def hue(image: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Turns the hue of HSV by `turn`, a share of the circle."""
    red, green, blue = tf.split(image, 3, axis=-3)
    value, chroma = _value_and_chroma(image)
    # In sixths of the circle.
    sector = tf.where(
        red == value,
        green - blue,
        tf.where(green == value, blue - red + 2 * chroma, red - green + 4 * chroma),
    )
    turned = tf.math.divide_no_nan(sector, chroma) + 6 * turn

    def channel(offset: float) -> tf.Tensor:
        place = turned + offset
        place -= 6 * tf.floor(place / 6)  # XLA's remainder is slow.
        return value - chroma * tf.clip_by_value(tf.minimum(place, 4 - place), 0.0, 1.0)

    return tf.concat([channel(5.0), channel(3.0), channel(1.0)], axis=-3)


JITTER = (brightness, contrast, saturation, hue)


def _value_and_chroma(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The largest channel, and by how much it is larger than the smallest, `[..., 1, H, W]`."""
    red, green, blue = tf.split(image, 3, axis=-3)
    value = tf.maximum(tf.maximum(red, green), blue)
    return value, value - tf.minimum(tf.minimum(red, green), blue)


def grayscale(image: tf.Tensor, draw: tf.Tensor, probability: float) -> tf.Tensor:
    """Replaces the three channels by their luminance, with this probability."""
    return tf.cond(draw < probability, lambda: gray(image), lambda: image)


def gray(image: tf.Tensor) -> tf.Tensor:
    """The luminance in all three channels."""
    planes = tf.split(image, 3, axis=-3)
    luminance = sum(weight * plane for weight, plane in zip(_LUMINANCE, planes, strict=True))
    return tf.concat([luminance] * 3, axis=-3)


def blur(image: tf.Tensor, draws: tf.Tensor, probability: float) -> tf.Tensor:
    """Gaussian blur of sigma 0.1 to 2 pixels in a kernel of a tenth of the side.

    At the border the kernel is cut off and normalised again, so that it does not darken. Weights
    beyond 4.5 sigma, together less than a 100,000th, are left out.

    Args:
        image: float32 `[3, S, S]`, S static; below 20 pixels the kernel is one pixel.
        draws: float32 `[2]`, uniform in [0, 1): whether, and sigma.
        probability: Of any blur.
    """
    largest = blur_radius(image.shape[1])
    if largest == 0:
        return image
    sigma = blur_sigma(draws[1])
    # A few kernels of fixed sizes, the smallest that is large enough.
    radii = sorted({-(-largest * quarter // 4) for quarter in (1, 2, 3, 4)})
    needed = tf.reduce_sum(tf.cast(tf.constant(radii[:-1], tf.float32) < 4.5 * sigma, tf.int32))

    def blurred() -> tf.Tensor:
        branches = [functools.partial(convolve, image, sigma, radius) for radius in radii]
        return tf.switch_case(needed, branches) if len(branches) > 1 else branches[0]()

    return tf.cond(draws[0] < probability, blurred, lambda: image)


def blur_radius(size: int) -> int:
    """Pixels that the kernel reaches to each side in an image of this side."""
    return size // 10 // 2


def blur_sigma(draw: tf.Tensor) -> tf.Tensor:
    """Sigma in pixels."""
    return 0.1 + 1.9 * draw


def convolve(image: tf.Tensor, sigma: tf.Tensor, radius: int) -> tf.Tensor:
    """Sums shifted images `[..., 3, S, S]`, weighted, down and then across.

    Args:
        image: float32.
        sigma: float32, a scalar or `[N, 1, 1, 1]`.
        radius: Of the kernel.
    """
    size = image.shape[-1]
    weights = [tf.exp(-tf.square(offset / sigma) / 2) for offset in range(-radius, radius + 1)]

    def slide(planes: tf.Tensor, axis: int) -> tf.Tensor:
        rank = planes.shape.rank
        padded = tf.pad(
            planes, [[radius, radius] if i == rank + axis else [0, 0] for i in range(rank)]
        )
        begin = [0] * rank
        shape = [-1] * rank
        shape[axis] = size

        def part(start: int) -> tf.Tensor:
            begin[axis] = start
            return tf.slice(padded, begin, shape)

        return tf.add_n([weight * part(start) for start, weight in enumerate(weights)])

    ones = tf.ones_like(image[..., :1, :1, :])
    total = slide(ones, -1)
    rows = slide(image, -2) / tf.linalg.matrix_transpose(total)
    return tf.clip_by_value(slide(rows, -1) / total, 0.0, 1.0)
