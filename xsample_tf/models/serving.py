"""An encoder as a SavedModel that needs TensorFlow alone."""

import os
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.data import views
from xsample_tf.errors import InputError

_HALF_PRECISION = ("float16", "bfloat16")


def save_signatures(
    encoder: keras.Model,
    path: str | os.PathLike,
    image_size: int,
    input_range: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Writes a SavedModel with `serving_default(images)` and `embed_jpeg(jpeg)`.

    Args:
        encoder: Keras model from images `[B, H, W, 3]` to `[B, D]`.
        path: The SavedModel's directory.
        image_size: Side of the images that the encoder gets.
        input_range: Lowest and highest pixel that the encoder takes. The signatures take images in
            [0, 1] whatever it is. Defaults to (0, 1).
    """
    low, high = input_range
    view = views.Evaluation(image_size)
    shape = tf.TensorSpec([image_size, image_size, 3], tf.float32)

    def embed(images: tf.Tensor) -> dict[str, tf.Tensor]:
        if (low, high) != (0, 1):
            images = low + (high - low) * images
        return {"embedding": tf.cast(encoder(images, training=False), tf.float32)}

    def prepare(image: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(view(image, tf.zeros([2], tf.int32))[0], shape.shape)

    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        # Resampling leaves images of that size as they are, but goes through them one by one.
        images = tf.cond(
            tf.reduce_all(tf.shape(images)[1:3] == image_size),
            lambda: images,
            lambda: tf.map_fn(prepare, images, fn_output_signature=shape),
        )
        images = tf.ensure_shape(images, [None, *shape.shape])
        return embed(images)

    def embed_jpeg(jpeg: tf.Tensor) -> dict[str, tf.Tensor]:
        def decode(content: tf.Tensor) -> tf.Tensor:
            image = tf.io.decode_image(content, channels=3, expand_animations=False)
            return prepare(image)

        images = tf.map_fn(decode, jpeg, fn_output_signature=shape)
        return embed(images)

    archive = keras.export.ExportArchive()
    archive.track(encoder)
    images = tf.TensorSpec([None, None, None, 3], tf.float32, name="images")
    archive.add_endpoint("serving_default", serve, input_signature=[images])
    jpeg = tf.TensorSpec([None], tf.string, name="jpeg")
    archive.add_endpoint("embed_jpeg", embed_jpeg, input_signature=[jpeg])
    archive.write_out(str(path), verbose=False)


def embedding_size(encoder: keras.Model, image_size: int) -> int:
    """Returns D, asked of the encoder for images of this size.

    Raises:
        InputError: The encoder does not take such images, or gives no vectors.
    """
    try:
        output = encoder.compute_output_shape((1, image_size, image_size, 3))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"image_size: the encoder takes {encoder.input_shape}, received images of {image_size}"
        ) from error
    if len(output) != 2 or output[1] is None:
        raise InputError(f"encoder: expected embeddings [B, D], received shape {output}")
    return int(output[1])


def in_float32(encoder: keras.Model) -> keras.Model:
    """Returns the same encoder computing in float32, itself where it does so already.

    Raises:
        InputError: It cannot be rebuilt from its configuration.
    """
    if all(layer.compute_dtype == "float32" for layer in encoder._flatten_layers()):
        return encoder
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")  # For layers whose configuration names none.
    try:
        config = keras.saving.serialize_keras_object(encoder)
        copy = keras.saving.deserialize_keras_object(_with_float32(config))
    except (NotImplementedError, TypeError, ValueError) as error:
        raise InputError(
            f"encoder: expected a Keras model that can be rebuilt from its configuration, received "
            f"{type(encoder).__name__} ({str(error).splitlines()[0]}); implement get_config"
        ) from error
    finally:
        keras.config.set_dtype_policy(policy)
    copy.set_weights(encoder.get_weights())
    return copy


def _with_float32(config: Any) -> Any:
    """A Keras configuration with every half precision dtype and policy replaced."""
    if isinstance(config, dict):
        return {key: _with_float32(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_with_float32(value) for value in config)
    if isinstance(config, str) and config.removeprefix("mixed_") in _HALF_PRECISION:
        return "float32"
    return config
