"""TensorFlow tensors."""

import tensorflow as tf


def unit_rows(rows: tf.Tensor) -> tf.Tensor:
    """Divides each row by its length; its gradient is finite everywhere.

    Args:
        rows: Floats `[..., D]`.

    Returns:
        Rows of length 1, of the same shape and dtype. A row shorter than 1e-12 has no direction: it
        stays as short, and zero stays zero.
    """
    tiny = tf.cast(1e-24, rows.dtype)
    square = tf.reduce_sum(tf.square(rows), axis=-1, keepdims=True)
    return rows * tf.math.rsqrt(tf.maximum(square, tiny))
