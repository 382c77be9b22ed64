"""The text encoder that is trained from scratch: CLIP's transformer (arXiv 2103.00020)."""

import keras
from keras import ops

from xsample_tf.errors import InputError

_EPSILON = 1e-5


def text_tower(
    vocabulary_size: int, length: int = 77, width: int = 512, layers: int = 12, heads: int = 8
) -> keras.Model:
    """Builds a text encoder with fresh weights: tokens int32 `[B, length]` to float32 `[B, width]`.

    Causal attention with layer norm before each part, GELU, and the state of the end token after a
    last layer norm; initial weights as in CLIP's code. Token 0 is padding and stands behind the end
    token, which sees none of it.

    Args:
        vocabulary_size: Tokens of the vocabulary.
        length: L, tokens of a text. Defaults to 77.
        width: Length of the vectors, a multiple of `heads`. Defaults to 512.
        layers: Defaults to 12.
        heads: Defaults to 8.

    Raises:
        InputError: A number below 1, or a width that the heads do not divide.

    Example:
        >>> text_tower(8192, length=32, width=128, layers=2, heads=2)(tf.zeros([4, 32])).shape
        TensorShape([4, 128])
    """
    sizes = {"vocabulary_size": vocabulary_size, "length": length, "width": width}
    for name, size in (sizes | {"layers": layers, "heads": heads}).items():
        if size < 1:
            raise InputError(f"text_tower: expected {name} from 1, received {size}")
    if width % heads:
        raise InputError(
            f"text_width: expected a multiple of the {heads} heads of text_heads, received {width}"
        )
    from keras_hub.layers import PositionEmbedding

    tokens = keras.Input((length,), dtype="int32", name="tokens")
    embedded = keras.layers.Embedding(
        vocabulary_size, width, embeddings_initializer=_normal(0.02), name="token_table"
    )(tokens)
    places = PositionEmbedding(length, initializer=_normal(0.01), name="position_table")
    x = embedded + places(embedded)
    for number in range(layers):
        x = x + _attention(x, heads, layers, f"layer_{number}")
        x = x + _feed_forward(x, layers, f"layer_{number}")
    x = keras.layers.LayerNormalization(epsilon=_EPSILON, name="last_norm")(x)
    end = ops.sum(ops.cast(ops.not_equal(tokens, 0), "int32"), axis=1) - 1
    chosen = ops.expand_dims(ops.cast(ops.one_hot(end, length), x.dtype), -1)
    vector = keras.layers.Identity(dtype="float32", name="text")(ops.sum(x * chosen, axis=1))
    return keras.Model(tokens, vector, name="text_encoder")


def _attention(x: keras.KerasTensor, heads: int, layers: int, name: str) -> keras.KerasTensor:
    _, length, width = x.shape
    normed = keras.layers.LayerNormalization(epsilon=_EPSILON, name=f"{name}_attention_norm")(x)
    qkv = keras.layers.Dense(
        3 * width, kernel_initializer=_normal(width**-0.5), name=f"{name}_qkv"
    )(normed)
    qkv = keras.layers.Reshape((length, 3, heads, width // heads))(qkv)
    mixed = ops.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], is_causal=True)
    joined = keras.layers.Reshape((length, width))(mixed)
    return _into_stream(width, layers, f"{name}_attended")(joined)


def _feed_forward(x: keras.KerasTensor, layers: int, name: str) -> keras.KerasTensor:
    width = x.shape[-1]
    normed = keras.layers.LayerNormalization(epsilon=_EPSILON, name=f"{name}_feed_norm")(x)
    wide = keras.layers.Dense(
        4 * width,
        activation="gelu",
        kernel_initializer=_normal((2 * width) ** -0.5),
        name=f"{name}_wide",
    )(normed)
    return _into_stream(width, layers, f"{name}_narrow")(wide)


def _into_stream(width: int, layers: int, name: str) -> keras.Layer:
    """A layer whose output is added to the stream, the smaller the more of them there are."""
    deviation = width**-0.5 * (2 * layers) ** -0.5
    return keras.layers.Dense(width, kernel_initializer=_normal(deviation), name=name)


def _normal(deviation: float) -> keras.initializers.Initializer:
    """A new object each time: one gives all its layers of one shape the same values."""
    return keras.initializers.RandomNormal(stddev=deviation)
