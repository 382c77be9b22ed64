"""One record of a shard to what training takes: pixels and side information.

What is wrong with a record fails here as an error of TensorFlow's, which the stream answers.
"""

import tensorflow as tf

from xsample_tf import tensors
from xsample_tf.data.stream.online_captions import BETWEEN
from xsample_tf.data.stream.shard_reader import Shards

CAPTIONS = ("draw", "mean")


def key_hash(parsed: dict[str, tf.Tensor]) -> tf.Tensor:
    """An int32 of the image's key."""
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
        vectors: Its caption vectors, as they stand in the shard.
        shards: What it was read from.
        captions: "draw" for one of the vectors, "mean" for their unit mean.
        seed: int32 `[2]`, for the draw.
        encode: Whether the captions themselves are wanted, for `encoding.encode`.

    Returns:
        "label" int32 where there are class names; "embedding" float32 `[T]` of unit length where
        there are vectors, zero for an image without captions; the feature columns under
        their names; with `encode` "captions", a string of those that are drawn. Fails on a label
        outside the class names and on vectors that are cut short or not finite.
    """
    side = {}
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
        side["embedding"] = caption_vector(vectors, shards.size, captions, seed)
    if encode:
        texts = parsed["captions"]
        side["captions"] = joined(_drawn(texts, seed) if captions == "draw" else texts)
    return side


def joined(captions: tf.Tensor) -> tf.Tensor:
    """Captions `[K]` as the one string that `encoding.encode` takes."""
    return tf.strings.reduce_join(captions, separator=BETWEEN)


def caption_vector(content: tf.Tensor, size: int, captions: str, seed: tf.Tensor) -> tf.Tensor:
    """float32 `[T]` of unit length from raw float16 `[K, T]`; zero if K is 0."""
    flat = tf.cast(tf.io.decode_raw(content, tf.float16, little_endian=True), tf.float32)
    table = tf.debugging.check_numerics(tf.reshape(flat, [-1, size]), "caption vectors")
    table = _drawn(table, seed) if captions == "draw" else table
    # The rows are of unit length but for float16's rounding; a zero one stays zero.
    return tensors.unit_rows(tf.reduce_sum(table, axis=0))


def _drawn(rows: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """One of the rows, or none of none."""
    count = tf.shape(rows)[0]
    drawn = tf.random.stateless_uniform([], seed, 0, tf.maximum(count, 1), tf.int32)
    return rows[drawn : drawn + 1]
