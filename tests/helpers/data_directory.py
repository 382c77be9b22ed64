"""A small data directory whose images are as red as their number, and streams that show it."""

import hashlib
import pathlib

import numpy as np
import tensorflow as tf

from xsample_tf import data
from xsample_tf.data import image_files, manifest, records
from xsample_tf.data.shards import Shard

COUNT, SIZE, CLASSES = 45, 4, 5
CLASS_NAMES = tuple(f"class {c}" for c in range(CLASSES))


def caption_vectors(i: int, size: int = SIZE) -> np.ndarray:
    """Unit rows of image i: one to three captions, and none for every ninth image."""
    rows = np.random.default_rng(i).normal(size=(i % 3 + 1, size))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows[:0] if i % 9 == 8 else rows).astype(np.float16)


def serialized_record(i: int) -> bytes:
    pixels = np.full((9, 12, 3), (i % 256, i // 256, 7), np.uint8)
    return records.serialize(
        image_files.encode_png(pixels), f"key{i}", ["a"] * (i % 3), i % CLASSES
    )


def _write_shards(directory, folder, contents, lengths) -> tuple[Shard, ...]:
    written, contents = [], iter(contents)
    for number, length in enumerate(lengths):
        path = pathlib.Path(directory, folder, f"{number:05d}.tfrecord")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(path)) as writer:
            for _ in range(length):
                writer.write(next(contents))
        raw = path.read_bytes()
        digest = hashlib.sha256(raw).hexdigest()
        written.append(Shard(f"{folder}/{path.name}", length, len(raw), digest))
    return tuple(written)


def write_directory(
    directory,
    lengths=(20, 10, 15),
    first=0,
    record=serialized_record,
    vector=caption_vectors,
    encoders=("e",),
    class_names=CLASS_NAMES,
) -> str:
    """A data directory of images `first` and following, in shards of these lengths."""
    ids = range(first, first + sum(lengths))
    images_ = _write_shards(directory, "train", map(record, ids), lengths)
    described = {}
    for name in encoders:
        folder = f"embeddings/{name}/train"
        vectors = _write_shards(directory, folder, (bytes(vector(i)) for i in ids), lengths)
        mean = (0.0,) * SIZE
        described[name] = manifest.CaptionVectors(name, name, SIZE, None, mean, {"train": vectors})
    dataset = manifest.Dataset(
        str(directory), {"train": images_}, class_names, 3, described, {}, "test"
    )
    manifest.write_dataset(dataset)
    return str(directory)


def show(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Views that show the image's number and their seed."""
    shown = tf.cast(image[0, 0, :2], tf.float32)
    parts = tf.cast(tf.bitwise.right_shift(seed, 16), tf.float32)
    return tf.reshape(tf.concat([shown, parts], 0), [2, 1, 1, 2])


def take(directory, steps, batch_size=10, make=show, **arguments) -> list[tuple]:
    stream = data.load(directory, "train", batch_size, make, **arguments)
    return list(stream.take(steps).as_numpy_iterator())


def image_numbers(batches) -> np.ndarray:
    """The images' numbers `[steps, B]`."""
    return np.array(
        [shown[:, 0, 0, 0, 0] + 256 * shown[:, 0, 0, 0, 1] for shown, _ in batches], int
    )


def assert_equal(first, second):
    tf.nest.map_structure(np.testing.assert_array_equal, first, second)
