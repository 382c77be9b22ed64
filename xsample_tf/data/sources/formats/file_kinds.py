"""Files that are something else than they should be, told by their first bytes."""

from xsample_tf.errors import InputError
from xsample_tf.files import LFS_POINTER

# What files begin with, what they are, and the next step.
_KINDS = (
    (LFS_POINTER, "a Git LFS pointer", "fetch the file itself with git lfs pull"),
    (b"\x1f\x8b", "gzip", "gunzip it"),
    (b"BZh", "bzip2", "bunzip2 it"),
    (b"\xfd7zXZ", "xz", "unxz it"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd it"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet", "unzip it, or save it as CSV"),
    (b"PAR1", "Parquet", "give its name the ending .parquet"),
    (b"ARROW1", "an Arrow file", "hf: reads the folder that datasets saved"),
    (b"<!doctype html", "a web page", "fetch the file again"),
    (b"<html", "a web page", "fetch the file again"),
)


def refuse_other_kind(file: str, expected: str, allowed: bytes = b"\0") -> None:
    """Raises `InputError` where a file is compressed, a Git LFS pointer, a web page and the like.

    Args:
        file: Its path; one that cannot be read passes.
        expected: What it should be, in words.
        allowed: What a file of the right kind begins with.
    """
    try:
        with open(file, "rb") as content:
            start = content.read(32)
    except OSError:
        return
    for beginning, kind, step in _KINDS:
        same = start.startswith(beginning) or (
            kind == "a web page" and start.lower().startswith(beginning)
        )
        if same and beginning != allowed:
            raise InputError(f"source: expected {expected}, received {kind} in {file}; {step}")
