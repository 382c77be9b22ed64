"""What TensorFlow's errors mean for a user: the one place in which they become ours.

TensorFlow wraps what happens inside of it into errors of its own kinds and many lines, and reports
the operating system's reasons as text, often as exhausted memory.
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterator

import tensorflow as tf

from xsample_tf.errors import InputError

_DATA = "data directory: "  # Begins what a stream found wrong with the data.
_REASONS = tuple(
    os.strerror(code)
    for code in (
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
        *(errno.EIO, errno.ESTALE, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
    )
)


def marked(reason: str) -> str:
    """Marks what is wrong with the data, for the message of an assertion in a graph."""
    return _DATA + reason


def system_reason(error: OSError | tf.errors.OpError) -> str | None:
    """Returns the operating system's reason in an error, such as "No space left on device"."""
    text = str(error)
    reason = next((reason for reason in _REASONS if reason in text), None)
    if reason is None and isinstance(error, OSError):
        reason = error.strerror or " ".join(text.split())
    return reason


def as_input_error(error: tf.errors.OpError, out_of_memory: str = "") -> Exception:
    """Returns the `InputError` for a user's mistake that TensorFlow reports; another as it is.

    Args:
        error: What TensorFlow raised.
        out_of_memory: The message where the device's memory was exhausted; empty leaves that error
            as it is.

    Example:
        >>> try:
        ...     model.fit(stream)
        ... except tf.errors.OpError as error:
        ...     raise as_input_error(error) from None
    """
    text = str(error)
    found = re.search(re.escape(_DATA) + r"[^\n\]]*", text)
    if found:
        return InputError(found.group().strip())
    missing = sorted(set(re.findall(r"No registered '(\w+)' OpKernel for XLA", text)))
    if missing:
        return InputError(
            f"xla: expected operations that XLA has a kernel for, received {', '.join(missing)}; "
            "use another operation, or do without XLA: --xla=off, compile(jit_compile=False)"
        )
    if out_of_memory and isinstance(error, tf.errors.ResourceExhaustedError):
        return InputError(out_of_memory)
    return error


@contextlib.contextmanager
def as_input_errors(out_of_memory: str = "") -> Iterator[None]:
    """Raises `as_input_error` of what TensorFlow raises inside."""
    try:
        yield
    except tf.errors.OpError as error:
        raise as_input_error(error, out_of_memory) from None
