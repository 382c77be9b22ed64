"""Captions to tokens and, where none are stored, to vectors, while the stream runs."""

import numpy as np
import tensorflow as tf

from xsample_tf.arrays import unit_rows
from xsample_tf.data.text_encoder import TextEncoder, Tokenizer

BETWEEN = "\0"  # Stands between the captions of an image, in one string.
_CALLS = 2  # Batches that are encoded at the same time.


def tokenize(stream: tf.data.Dataset, tokens: Tokenizer, size: int | None) -> tf.data.Dataset:
    """Adds "tokens" int32 `[B, L]` to each batch, of "captions".

    Args:
        stream: As for `encode`, of images with one caption each, or none.
        tokens: Called with the captions of one batch.
        size: As for `encode`.
    """

    def add(*element: tf.Tensor) -> tuple | dict:
        *others, side = element
        found = tf.ensure_shape(tokens(side["captions"]), [size, tokens.length])
        side = side | {"tokens": found}
        return (*others, side) if others else side

    return stream.map(add, num_parallel_calls=_CALLS, deterministic=True)


def encode(stream: tf.data.Dataset, encoder: TextEncoder, size: int | None) -> tf.data.Dataset:
    """Replaces "captions" of each batch by "embedding".

    Args:
        stream: Dataset of dicts, or of tuples with one at the end, whose "captions" is a string
            `[B]`: the captions of an image with `BETWEEN` between them.
        encoder: Called from TensorFlow's threads, with the captions of one batch.
        size: B, or None where batches differ.

    Returns:
        The dataset with "embedding" float32 `[B, T]`, the unit mean of an image's vectors; zero for
        an image without captions, and for one whose vectors are not finite.
    """

    def vectors(joined: np.ndarray) -> np.ndarray:
        texts = [row.decode("utf-8", "replace").split(BETWEEN) for row in joined]
        flat = np.asarray(encoder([text for row in texts for text in row]), np.float32)
        sums = np.add.reduceat(flat, np.cumsum([0, *map(len, texts[:-1])]), axis=0)
        sums[~np.isfinite(sums).all(axis=1)] = 0
        return unit_rows(sums)

    def replace(*element: tf.Tensor) -> tuple | dict:
        *others, side = element
        found = tf.numpy_function(vectors, [side.pop("captions")], tf.float32)
        side["embedding"] = tf.ensure_shape(found, [size, encoder.size])
        return (*others, side) if others else side

    return stream.map(replace, num_parallel_calls=_CALLS, deterministic=True)
