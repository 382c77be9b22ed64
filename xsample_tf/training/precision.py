"""The dtype policy of a run."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from xsample_tf.training.options import Options


def precision_policy(options: Options) -> str:
    """The Keras dtype policy: the one asked for, or bfloat16 where the device computes in it."""
    if options.precision == "float32":
        return "float32"
    if options.precision != "auto":
        return f"mixed_{options.precision}"
    capable = bool(tf.config.list_logical_devices("TPU"))
    for device in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(device)
        capable |= details.get("compute_capability", (0, 0)) >= (8, 0)
    return "mixed_bfloat16" if capable else "float32"


@contextlib.contextmanager
def dtype_policy_scope(policy: str) -> Iterator[None]:
    """The Keras dtype policy for what is built inside; the caller's is put back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
