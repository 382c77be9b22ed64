"""Writing so that a full disk is told plainly and a crash leaves the old file or the new one."""

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator

import tensorflow as tf

from xsample_tf.errors import InputError

# What TensorFlow reports as text only, and often as exhausted memory.
_REASONS = tuple(
    os.strerror(code)
    for code in (
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
        *(errno.EIO, errno.ESTALE, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
    )
)


@contextlib.contextmanager
def writing(path: pathlib.Path, left: str = "") -> Iterator[None]:
    """Turns a failed write inside into one line.

    Args:
        path: What is being written.
        left: What there is nevertheless, to end the line with.

    Raises:
        InputError: For an `OSError`, or an error of TensorFlow that has an operating system's
            reason; others pass.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        text = str(error)
        reason = next((reason for reason in _REASONS if reason in text), None)
        if reason is None and isinstance(error, OSError):
            reason = error.strerror or text.splitlines()[0]
        if reason is None:
            raise
        raise InputError(
            f"run_dir: cannot write {path}: {reason}; once that is mended, the same command goes "
            f"on{left}"
        ) from None


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a file whole, or not at all."""
    with writing(path):
        write_atomic(path, text.encode())


def flush(path: pathlib.Path) -> None:
    """Brings a file, or a directory's names, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: str) -> bytes:
    """Returns the bytes of a local file or of one on `gs://`.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except tf.errors.OpError as error:
        message = " ".join(error.message.split())
        absent = isinstance(error, tf.errors.NotFoundError) or "Not a directory" in message
        raise (FileNotFoundError if absent else OSError)(message) from error


def write_atomic(path: pathlib.Path, content: bytes) -> None:
    """Writes `content` to `path` so that a kill leaves either the old file or the new one."""
    aside = path.with_name(path.name + ".tmp")
    with open(aside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
