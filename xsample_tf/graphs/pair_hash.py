"""Random numbers of pairs of images: functions of a seed and of both keys, wherever they stand."""

import tensorflow as tf

# Multipliers of a 32-bit mixer with little bias (github.com/skeeto/hash-prospector).
_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B


def image_hash(key_hash: tf.Tensor, seed: int, purpose: int) -> tf.Tensor:
    """Returns int32 `[B]`, a hash of each image, for `pair_bits`.

    Args:
        key_hash: Whole numbers `[B]` that tell images apart. Floats are taken as they are: Keras
            casts `y_true` to float32, which rounds them, and another draw follows.
        seed: A whole number; 64 bits of it count.
        purpose: Tells the users of one seed apart.
    """
    keys = tf.reshape(key_hash, [-1])
    # By way of int64: of a negative float XLA makes 0.
    bits = tf.cast(tf.cast(keys, tf.int64) if keys.dtype.is_floating else keys, tf.uint32)
    for word in (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF, purpose):
        bits = _mixed(tf.bitwise.bitwise_xor(bits, tf.constant(word, tf.uint32)))
    return tf.bitcast(bits, tf.int32)


def pair_bits(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Returns uint32 `[R, C]`, 32 random bits of each pair of image hashes, symmetric."""
    rows, columns = rows[:, tf.newaxis], columns[tf.newaxis, :]
    smaller, larger = tf.minimum(rows, columns), tf.maximum(rows, columns)
    mixed = _mixed(tf.bitcast(larger, tf.uint32))
    return _mixed(tf.bitcast(smaller, tf.uint32) + mixed)


def pair_uniform(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Returns float32 `[R, C]`, a number in [0, 1) of each pair of image hashes, symmetric."""
    bits = tf.bitwise.right_shift(pair_bits(rows, columns), tf.constant(8, tf.uint32))
    return tf.cast(tf.cast(bits, tf.int32), tf.float32) * 2.0**-24


def _mixed(bits: tf.Tensor) -> tf.Tensor:
    """Returns uint32 bits, each of which depends on all that were given."""
    for shift, factor in ((16, _FIRST), (15, _SECOND), (16, 1)):
        shifted = tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint32))
        bits = tf.bitwise.bitwise_xor(bits, shifted) * tf.constant(factor, tf.uint32)
    return bits
