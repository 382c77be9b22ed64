"""Reads ranges of records from shards, or single records by their places in the files."""

import os

import numpy as np
import tensorflow as tf

from xsample_tf.data.stream.record_index import FRAME
from xsample_tf.data.stream.shard_reader import Shards
from xsample_tf.tensorflow_errors import marked

_PARALLEL_READS = 4  # Shards of a window, or groups of single records, that are read at once.
_GROUP = 64  # Single records that are read one after the other.


def read_ranges(
    shards: Shards, indices: tf.Tensor, begins: tf.Tensor, ends: tf.Tensor
) -> tf.data.Dataset:
    """Reads records `begins[i]` to `ends[i]` of part `indices[i]`, for one i after the other.

    Args:
        shards: What to read from.
        indices: int64 `[P]`.
        begins: int64 `[P]`.
        ends: int64 `[P]`.

    Returns:
        A dataset of a record, a string, with string `[2]`: its caption vectors and its image
        vector, each "" where there is none. Fails with a message that `as_input_error` understands
        where a shard has fewer records.
    """
    parts = shards.parts
    if parts is not None and parts.image_bytes is not None:
        return _single_records(shards, indices)

    def read(index: tf.Tensor, begin: tf.Tensor, end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if parts is not None:
            first = tf.gather(tf.constant(parts.begin), index)
            index = tf.gather(tf.constant(parts.shard), index)
            begin, end = begin + first, end + first
        images = _read(tf.gather(shards.images, index), begin, end)
        vectors = [
            _read(tf.gather(files, index), begin, end) if files else tf.fill(tf.shape(images), "")
            for files in (shards.vectors, shards.image_vectors)
        ]
        return images, tf.stack(vectors, axis=1)

    ranges = tf.data.Dataset.from_tensor_slices((indices, begins, ends))
    return ranges.map(read, num_parallel_calls=_PARALLEL_READS, deterministic=True).unbatch()


def _read(path: tf.Tensor, begin: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """The records `[end - begin]` of one file."""
    count = end - begin

    def read(path: tf.Tensor) -> tf.Tensor:
        return tf.data.TFRecordDataset(path).skip(begin).take(count).batch(count)

    # TensorFlow's own message does not name the file. What fails here is one element of a dataset
    # of one: errors ignored further in, of a file that cannot be opened, come back without end.
    tried = tf.data.Dataset.from_tensors(path).map(lambda path: read(path).get_single_element())
    nothing = tf.data.Dataset.from_tensors(tf.constant([], tf.string))
    strings = tried.ignore_errors().concatenate(nothing).take(1).get_single_element()
    message = tf.strings.format(
        marked("cannot read records {} to {} of {}; restore that file"), (begin, end, path)
    )
    complete = tf.equal(tf.size(strings, tf.int64), count)
    with tf.control_dependencies([tf.debugging.Assert(complete, [message])]):
        return tf.identity(strings)


def _single_records(shards: Shards, indices: tf.Tensor) -> tf.data.Dataset:
    """As `read_ranges`, of parts that are one record each: nothing else is read."""
    parts = shards.parts

    def read(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        images = np.empty(len(numbers), object)
        vectors = np.full((len(numbers), 2), b"", object)
        for row, number in enumerate(numbers):
            shard = parts.shard[number]
            images[row] = _bytes_at(shards.images[shard], *parts.image_bytes[number])
            if shards.vectors:
                vectors[row, 0] = _bytes_at(shards.vectors[shard], *parts.vector_bytes[number])
            if shards.image_vectors:
                length = 2 * shards.image_vector_size  # All are equally long.
                before = parts.begin[number] * (length + FRAME) + FRAME - 4
                vectors[row, 1] = _bytes_at(shards.image_vectors[shard], before, length)
        return images, vectors

    def read_group(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, vectors = tf.numpy_function(read, [numbers], (tf.string, tf.string))
        return tf.ensure_shape(images, [None]), tf.ensure_shape(vectors, [None, 2])

    groups = tf.data.Dataset.from_tensor_slices(indices).batch(_GROUP)
    groups = groups.map(read_group, num_parallel_calls=_PARALLEL_READS, deterministic=True)
    return groups.unbatch()


def _bytes_at(path: str, before: int, length: int) -> bytes:
    """The bytes of a file behind those before."""
    try:
        if "://" in path:
            with tf.io.gfile.GFile(path, "rb") as file:
                file.seek(int(before))
                content = file.read(int(length))
        else:
            with open(path, "rb", buffering=0) as file:
                content = os.pread(file.fileno(), int(length), int(before))
    except (OSError, tf.errors.OpError):
        content = None
    if content is None or len(content) != length:
        raise ValueError(
            marked(f"cannot read {length} bytes from byte {before} on of {path}; restore that file")
        )
    return content
