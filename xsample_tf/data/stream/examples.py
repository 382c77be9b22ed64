"""One record of a shard to what training takes: pixels and side information.

What is wrong with a record fails here as an error of TensorFlow's, which the stream answers.
"""

import tensorflow as tf

from xsample_tf import tensors
from xsample_tf.data.stream.online_captions import BETWEEN
from xsample_tf.data.stream.shard_reader import Shards
from xsample_tf.errors import InputError, suggest

CAPTIONS = ("draw", "mean")


def check_draw(captions: str, seed: int) -> None:
    """Raises `InputError` for another way to choose captions, or a seed of more than 64 bits."""
    if captions not in CAPTIONS:
        raise InputError(f"captions: received {captions!r}, {suggest(captions, CAPTIONS)}")
    if not -(2**63) <= seed < 2**63:
        raise InputError(f"seed: expected a whole number of 64 bits, received {seed}")


def key_hash(parsed: dict[str, tf.Tensor]) -> tf.Tensor:
    """An int32 of the image's key; of several keys `[B]`, `[B]`."""
    return tf.cast(tf.strings.to_hash_bucket_fast(parsed["key"], 2**31 - 1), tf.int32)


def side_information(
    parsed: dict[str, tf.Tensor],
    vectors: tf.Tensor,
    shards: Shards,
    captions: str,
    seed: tf.Tensor,
    encode: bool = False,
) -> dict[str, tf.Tensor]:
    """What is known of an image besides its pixels.

    Args:
        parsed: The record, from `records.parse`.
        vectors: string `[2]`, its caption vectors and its image vector as they stand in files.
        shards: What it was read from.
        captions: "draw" for one of the vectors, "mean" for their unit mean.
        seed: int32 `[2]`, for the draw.
        encode: Whether the captions themselves are wanted, for `encoding.encode`.

    Returns:
        "key_hash" int32, of the image's key; "label" int32 where there are class names; "embedding"
        float32 `[T]` of unit length where there are vectors, zero for an image without captions;
        "image_embedding" float32 `[D]`, likewise, where image vectors are read; the feature columns
        under their names; with `encode` "captions", a string of those that are
        drawn. Fails on a label outside the class names and on vectors that are cut short or not
        finite.
    """
    side = {"key_hash": key_hash(parsed)}
    if shards.classes:
        with tf.control_dependencies(
            [
                tf.debugging.assert_non_negative(parsed["label"]),
                tf.debugging.assert_less(parsed["label"], tf.constant(shards.classes, tf.int64)),
            ]
        ):
            side["label"] = tf.cast(parsed["label"], tf.int32)
    side |= {column.name: parsed[column.stored_name] for column in shards.columns}
    if shards.size:
        side["embedding"] = caption_vector(vectors[0], shards.size, captions, seed)
    if shards.image_vector_size:
        size = shards.image_vector_size
        side["image_embedding"] = caption_vector(vectors[1], size, "mean", seed)
    if encode:
        side["captions"] = joined(chosen(parsed["captions"], captions, seed))
    return side


def chosen(texts: tf.Tensor, captions: str, seed: tf.Tensor) -> tf.Tensor:
    """Returns those of an image's captions `[K]` whose vectors `side_information` takes."""
    return _drawn(texts, seed) if captions == "draw" else texts


def joined(captions: tf.Tensor) -> tf.Tensor:
    """Captions `[K]` as the one string that `encoding.encode` takes."""
    return tf.strings.reduce_join(captions, separator=BETWEEN)


def caption_vector(content: tf.Tensor, size: int, captions: str, seed: tf.Tensor) -> tf.Tensor:
    """float32 `[T]` of unit length from raw float16 `[K, T]`; zero if K is 0."""
    table = caption_table(content, size)
    table = _drawn(table, seed) if captions == "draw" else table
    # The rows are of unit length but for float16's rounding; a zero one stays zero.
    return tensors.unit_rows(tf.reduce_sum(table, axis=0))


def caption_table(content: tf.Tensor, size: int) -> tf.Tensor:
    """float32 `[K, T]` from raw float16; fails where one is not finite."""
    flat = tf.cast(tf.io.decode_raw(content, tf.float16, little_endian=True), tf.float32)
    return tf.debugging.check_numerics(tf.reshape(flat, [-1, size]), "caption vectors")


def _drawn(rows: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """One of the rows, or none of none."""
    count = tf.shape(rows)[0]
    drawn = tf.random.stateless_uniform([], seed, 0, tf.maximum(count, 1), tf.int32)
    return rows[drawn : drawn + 1]
