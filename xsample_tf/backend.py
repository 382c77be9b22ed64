"""Refuses, when it is imported, to run Keras on another backend than TensorFlow.

The package imports it before anything else, since Keras reads its settings when it is imported.
"""

import os

from xsample_tf.errors import InputError


def check_backend() -> None:
    """Raises `InputError` unless Keras runs, or will run, on TensorFlow."""
    name = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name == "tensorflow":
        import keras

        name = keras.config.backend()  # Of ~/.keras/keras.json, or of an earlier import.
    if name != "tensorflow":
        raise InputError(
            f"KERAS_BACKEND: expected tensorflow, received {name}; set KERAS_BACKEND=tensorflow "
            "before Keras is imported"
        )


check_backend()
