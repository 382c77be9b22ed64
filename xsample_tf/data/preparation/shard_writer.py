"""Shards that are whole or absent, and a journal of which are done, so that a kill costs one."""

import contextlib
import hashlib
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence

import tensorflow as tf

from xsample_tf.data.shards import Shard
from xsample_tf.errors import InputError
from xsample_tf.files import publish, temporary_path


def local(directory: str | os.PathLike) -> pathlib.Path:
    """Returns the path of a data directory that is written; an `InputError` unless it is local."""
    if "://" in os.fspath(directory):
        raise InputError(
            f"output: expected a local folder, received {directory}; prepare on a local or mounted "
            "disk and copy the folder, which training reads anywhere"
        )
    return pathlib.Path(directory)


@contextlib.contextmanager
def as_input_errors() -> Iterator[None]:
    """Turns a disk that is full, or files that may not be touched, into an `InputError`."""
    try:
        yield
    except (OSError, tf.errors.ResourceExhaustedError, tf.errors.PermissionDeniedError) as error:
        reason = " ".join(str(getattr(error, "message", error)).split())
        raise InputError(
            f"cannot read or write ({reason}); once that is mended, the same command goes on"
        ) from error


class ShardWriter:
    """Writes one TFRecord file under a temporary name; `close` gives it its own.

    Args:
        directory: The data directory.
        path: Of the shard, relative to it.
    """

    def __init__(self, directory: str, path: str):
        self._directory, self._path = directory, path
        self._place = pathlib.Path(directory, path)
        self._place.parent.mkdir(parents=True, exist_ok=True)
        self._writer = tf.io.TFRecordWriter(str(temporary_path(self._place)))
        self._records = self._bytes = 0

    def write(self, record: bytes) -> tuple[int, int]:
        """Appends a record; returns where its frame begins and how long that is, in bytes."""
        offset, size = self._bytes, len(record) + 16  # Length, its checksum, record, its checksum.
        self._writer.write(record)
        self._records += 1
        self._bytes += size
        return offset, size

    def close(self) -> Shard:
        """Returns the shard once it is on the disk under its name."""
        self._writer.close()
        return finish(self._directory, self._path, self._records)


def finish(directory: str | os.PathLike, path: str, records: int) -> Shard:
    """Publishes the shard `path`, written under its temporary name, and describes it."""
    place = pathlib.Path(directory, path)
    temporary = temporary_path(place)
    with open(temporary, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = temporary.stat().st_size
    publish(temporary, place)
    return Shard(path, records, size, digest)


def merge_shards(directory: pathlib.Path, parts: Sequence[Shard], limit: int) -> Iterator[Shard]:
    """Joins small shards of "val" to ones of at most `limit` records: TFRecords concatenate."""
    groups: list[list[Shard]] = []
    for part in parts:
        if not groups or sum(p.records for p in groups[-1]) + part.records > limit:
            groups.append([])
        groups[-1].append(part)
    (directory / "val").mkdir(exist_ok=True)
    for index, group in enumerate(groups):
        path = f"val/{index:05d}.tfrecord"
        with open(temporary_path(directory / path), "wb") as file:
            for part in group:
                with open(directory / part.path, "rb") as piece:
                    shutil.copyfileobj(piece, file)
        yield finish(directory, path, sum(part.records for part in group))
