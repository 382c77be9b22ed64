"""How steps are executed: their dtypes, XLA, and what it means when TensorFlow fails in one."""

import contextlib
import warnings
from collections.abc import Iterator

import keras
import tensorflow as tf

from xsample_tf.devices import accelerated
from xsample_tf.tensorflow_errors import as_input_errors
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


def compile_step(options: Options) -> tuple[bool, str]:
    """Returns whether XLA compiles what it can of the step, and why."""
    if options.xla != "auto":
        return options.xla == "on", "as asked"
    if accelerated():
        return True, "there is an accelerator"
    return False, "on a CPU, XLA's convolutions are slower than TensorFlow's"


@contextlib.contextmanager
def without_warnings_of_fit() -> Iterator[None]:
    """Leaves out what `fit` warns of and a run says itself: its target, and steps skipped."""
    with warnings.catch_warnings():
        for beginning in ("target: temperature", r"loss: \d+ of \d+ steps were skipped"):
            warnings.filterwarnings("ignore", beginning)
        yield


def explained(options: Options) -> contextlib.AbstractContextManager[None]:
    """Turns what TensorFlow says of a user's mistake while it trains into an `InputError`."""
    return as_input_errors(
        f"batch_size: out of memory with {options.batch_size} images of {options.views} views at "
        f"{options.image_size} pixels; lower batch_size or image_size, or set microbatch_size"
    )
