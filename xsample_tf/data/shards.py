"""Shards: TFRecord files, and what each must contain."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import tensorflow as tf

from xsample_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file and what it must contain.

    `path` is relative to the data directory, or whole where the file is used where it lies.
    """

    path: str
    records: int
    bytes: int
    sha256: str


def check_size(directory: str, shard: Shard) -> None:
    """Raises `InputError` unless a shard's file is there, of the size that the manifest has."""
    path = os.path.join(directory, shard.path)
    try:
        received = f"{tf.io.gfile.stat(path).length:,}"
    except tf.errors.NotFoundError:
        received = "no file"
    except tf.errors.OpError as error:
        received = " ".join(error.message.split())
    if received != f"{shard.bytes:,}":
        raise InputError(
            f"data directory: dataset.json expects {shard.bytes:,} bytes, received {received} at "
            f"{path}; restore that file, or prepare the directory again with --overwrite"
        )


def read_records(directory: pathlib.Path, shard: Shard) -> Iterator[bytes]:
    """Yields a shard's records; an `InputError` when it is corrupt or not what it should be."""
    path, count = os.path.join(directory, shard.path), 0
    try:
        stream = tf.data.TFRecordDataset(path)
        if os.path.isabs(shard.path):  # After its last record another program may have been ended.
            stream = stream.take(shard.records)
        for record in stream.as_numpy_iterator():
            yield record
            count += 1
    except tf.errors.OpError as error:
        raise InputError(
            f"data directory: {path} is corrupt; prepare the directory again"
        ) from error
    if count != shard.records:
        raise InputError(
            f"data directory: expected {shard.records} records in {path}, received {count}"
        )
