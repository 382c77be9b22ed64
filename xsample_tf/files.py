"""Atomic files and directories, and one-line errors for a disk that is full or read-only.

A file or directory is written under a temporary name next to its own and then renamed, so that a
crash at any moment leaves the old one or the new one.
"""

import contextlib
import hashlib
import os
import pathlib
import shutil
from collections.abc import Iterator

import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.tensorflow_errors import system_reason

# How the file begins that stands for one in Git LFS.
LFS_POINTER = b"version https://git-lfs"
_ASIDE = ".aside-"  # Temporary directories begin with this.


@contextlib.contextmanager
def writing(path: pathlib.Path, left: str = "", setting: str = "run_dir") -> Iterator[None]:
    """Turns a failed write inside into one line.

    Args:
        path: What is being written.
        left: What there is nevertheless, to end the line with.
        setting: Name of the setting that chose the place, which begins the line.

    Raises:
        InputError: For an `OSError`, or an error of TensorFlow that has an operating system's
            reason; others pass.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = system_reason(error)
        if reason is None:
            raise
        raise InputError(
            f"{setting}: cannot write {path}: {reason}; once that is fixed, the same command "
            f"continues{left}"
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
    """Writes `content` to `path`; a crash leaves the old file or the new one."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def atomic_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary path to write to, which becomes `path` when the block ends well."""
    temporary = temporary_path(path)
    yield temporary
    publish(temporary, path)


def temporary_path(path: pathlib.Path) -> pathlib.Path:
    """Returns the name under which a file is written before it has its own."""
    return path.with_name(f".{path.name}.tmp")


def publish(temporary: pathlib.Path, path: pathlib.Path) -> None:
    """Brings a finished temporary file onto the disk, and renames it to `path`."""
    flush(temporary)
    os.replace(temporary, path)


@contextlib.contextmanager
def atomic_directory(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a new directory to fill, which replaces `path` when the block ends well.

    Its files and the rename are brought onto the disk. Missing parents are made.

    Raises:
        OSError: The directory cannot be made or renamed.
    """
    temporary = path.with_name(f"{_ASIDE}{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for inner in temporary.rglob("*"):
            flush(inner)
        flush(temporary)
        old = _set_aside(path) if path.exists() else None
        temporary.rename(path)
        flush(path.parent)
        if old:
            shutil.rmtree(old)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_directory(path: pathlib.Path) -> None:
    """Removes a directory so that a crash leaves no half of it under its name."""
    if path.exists():
        shutil.rmtree(_set_aside(path))


def remove_leftovers(directory: pathlib.Path) -> None:
    """Removes what a crash left of directories that were written, or removed, in `directory`."""
    for path in directory.glob(f"{_ASIDE}*"):
        shutil.rmtree(path)


def _set_aside(path: pathlib.Path) -> pathlib.Path:
    old = path.with_name(f"{_ASIDE}old-{path.name}")
    shutil.rmtree(old, ignore_errors=True)
    return path.rename(old)


def digest(path: pathlib.Path) -> str:
    """Returns a hash of a file, or of the names and contents of all files in a directory."""
    found = hashlib.sha256()
    inner = sorted(path.rglob("*")) if path.is_dir() else [path]
    for one in inner:
        if one.is_file():
            found.update(str(one.relative_to(path)).encode())
            with one.open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def walk(folder: str | os.PathLike) -> Iterator[str]:
    """Yields the files in a folder and in the folders in it, sorted, hidden ones left out.

    Links are followed, but none back to a folder that the walk came from, and none twice.
    """
    above = {os.path.realpath(parent) for parent in _parents(os.path.abspath(folder))}
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen or real in above:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        yield from (os.path.join(parent, file) for file in sorted(files) if not is_hidden(file))


def is_hidden(name: str) -> bool:
    """Whether a file or folder never counts: a hidden one, or what macOS adds to archives."""
    return name.startswith(".") or name == "__MACOSX"


def _parents(path: str) -> Iterator[str]:
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent
