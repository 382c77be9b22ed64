"""Which devices TensorFlow has."""

import tensorflow as tf


def accelerated() -> bool:
    """Whether there is a GPU or a TPU."""
    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))
