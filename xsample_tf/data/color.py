"""SimCLR's colour operations on a view, float32 `[H, W, 3]` in [0, 1] (arXiv 2002.05709, A)."""

import tensorflow as tf


def jitter(view: tf.Tensor, seed: tf.Tensor, order_seed: tf.Tensor, strength: float) -> tf.Tensor:
    """Brightness, contrast, saturation and hue by random amounts, in random order.

    Args:
        view: float32 `[H, W, 3]` in [0, 1].
        seed: int32 `[2]`, of the amounts.
        order_seed: int32 `[2]`, of the order.
        strength: 1 changes brightness, contrast and saturation by a factor of up to 1 +- 0.8 and
            hue by up to 0.2 of the circle.

    Returns:
        The view, clipped to [0, 1] after each change.
    """
    amount = tf.random.stateless_uniform([4], seed, -1.0, 1.0)
    factor = tf.maximum(1 + 0.8 * strength * amount[:3], 0)
    changes = [
        lambda image: image * factor[0],
        lambda image: tf.image.adjust_contrast(image, factor[1]),
        lambda image: tf.image.adjust_saturation(image, factor[2]),
        lambda image: tf.image.adjust_hue(image, 0.2 * strength * amount[3]),
    ]
    order = tf.argsort(tf.random.stateless_uniform([4], order_seed))
    for place in range(4):
        branches = [lambda change=change, image=view: change(image) for change in changes]
        view = tf.clip_by_value(tf.switch_case(order[place], branches), 0, 1)
    return view


def gray(view: tf.Tensor) -> tf.Tensor:
    """The view's luma in all three channels."""
    return tf.repeat(tf.image.rgb_to_grayscale(view), 3, axis=-1)


def blur(view: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Gaussian blur of random width: sigma 0.1 to 2 pixels, the kernel a tenth of the side.

    Args:
        view: float32 `[H, W, 3]`, H static.
        seed: int32 `[2]`.
    """
    radius = max(view.shape[0] // 20, 1)
    sigma = tf.random.stateless_uniform([], seed, 0.1, 2.0)
    offset = tf.range(-radius, radius + 1, dtype=tf.float32)
    kernel = tf.nn.softmax(-tf.square(offset / sigma) / 2)
    kernel = tf.tile(kernel[:, None, None, None], [1, 1, 3, 1])
    # Borders repeat the edge: zeros would darken them, which gives a blurred view away.
    padded = tf.pad(view, [[radius, radius], [radius, radius], [0, 0]], "SYMMETRIC")[None]
    for filters in (kernel, tf.transpose(kernel, [1, 0, 2, 3])):
        padded = tf.nn.depthwise_conv2d(padded, filters, [1, 1, 1, 1], "VALID")
    return tf.ensure_shape(padded[0], view.shape)
