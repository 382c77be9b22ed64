"""Imports TensorFlow, and keeps back what it writes then that looks like a fault and is none.

Before its log level is in force TensorFlow writes from C++ to standard error what the level would
leave out, and that CUDA cannot be used on a machine without GPUs. Those lines are left out here;
all others go through, also where the process is aborted, since a second process reads them.
Afterwards standard error is as it was, and the level holds. Only tools import this module: what a
program of a user's own prints is not changed.
"""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator

_LEVEL = (
    "TF_CPP_MIN_LOG_LEVEL"  # 0 shows everything, 1 warnings, 2 errors, 3 what ends the process.
)
_LINE = re.compile(r"([IWEF])\d{4} [\d:.]+ +\d+ \S+:\d+\] (.*)", re.DOTALL)
_HARMLESS = re.compile(
    # That there is no driver (303) or no device (100); why, where there is one, a tool says itself.
    r"failed call to cuInit: .*(\(303\)|CUDA_ERROR_NO_DEVICE)"
)
# Lines without a severity: the second has its first one above it, which is information.
_UNMARKED = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "To enable the following instructions: ",
)


def is_left_out(line: str, level: int) -> bool:
    """Whether a line of TensorFlow's is below a log level, or an error that is none.

    Args:
        line: What TensorFlow writes to standard error.
        level: From 1, which leaves out information, to 3.
    """
    if line.startswith(_UNMARKED):
        return True
    parts = _LINE.match(line)
    if parts is None:
        return False
    severity, text = parts.groups()
    return "IWEF".index(severity) < level or bool(_HARMLESS.match(text))


@contextlib.contextmanager
def _lines_left_out(level: int) -> Iterator[None]:
    """Passes on what is written to standard error meanwhile, but for the lines to leave out."""
    kept = os.dup(2)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(writer)
        _pass_on(reader, kept, level)
    os.close(reader)
    os.dup2(writer, 2)
    os.close(writer)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)  # Closes the last way into the pipe.
        os.close(kept)
        os.waitpid(child, 0)


def _pass_on(reader: int, output: int, level: int) -> None:
    """What the second process does, up to the end of the pipe and of itself."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM):  # Sent to both, they are the first one's.
            signal.signal(number, signal.SIG_IGN)
        with os.fdopen(reader, "rb") as lines:
            for line in lines:
                if not is_left_out(line.decode(errors="replace"), level):
                    os.write(output, line)
    finally:
        os._exit(0)


# oneDNN is off by default on CPUs without AVX-512, where it makes a training step of ResNet-18 at
# 32 pixels several times faster (benchmarks/onednn.py).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
_level = os.environ.setdefault(_LEVEL, "2")
if "tensorflow" not in sys.modules and _level in ("1", "2", "3") and sys.stderr is not None:
    with _lines_left_out(int(_level)):
        import tensorflow as tf

        tf.config.list_physical_devices()  # Looks for CUDA, and is done but once.
