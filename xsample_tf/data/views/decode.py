"""Decodes image files in a graph."""

import tensorflow as tf


def decode_image(content: tf.Tensor) -> tf.Tensor:
    """JPEG or PNG bytes to uint8 `[H, W, 3]`."""
    image = tf.io.decode_image(content, channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])
