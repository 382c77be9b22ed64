"""An encoder as a SavedModel that needs TensorFlow alone."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf import tensors
from xsample_tf.data import views
from xsample_tf.errors import InputError
from xsample_tf.models.caption_side import CaptionSide

_HALF_PRECISION = ("float16", "bfloat16")
_DECODERS = 16  # Files that `embed_jpeg_or_nan` decodes at a time, at most.


class TextSide(tf.Module):
    """What a model of two towers compares, in one space: strings to unit vectors, and projections.

    Args:
        read: Strings `[B]` to what the text tower takes, in TensorFlow: a tokenizer, or a frozen
            encoder of sentences; a `tf.Module`.
        towers: Keras layers that make vectors `[B, P]` of that, one after the other.
        projector: Keras layer from the image encoder's `[B, D]` to `[B, P]`; None where that is P.

    Attributes:
        size: P.
    """

    def __init__(
        self,
        read: Callable[[tf.Tensor], tf.Tensor],
        towers: Sequence[keras.Layer],
        projector: keras.Layer | None,
    ):
        super().__init__()
        self._read, self._towers = read, [in_float32(part) for part in towers]
        self._projector = None if projector is None else in_float32(projector)
        self.size = int(self.embed(tf.constant(["a photo"]))["embedding"].shape[-1])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")], autograph=False)
    def embed(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns {"embedding": float32 `[B, P]` of unit length} of strings `[B]` in UTF-8."""
        vectors = self._read(texts)
        for part in self._towers:
            vectors = part(vectors, training=False)
        return {"embedding": tensors.unit_rows(tf.cast(vectors, tf.float32))}

    def endpoints(self) -> dict[str, Callable]:
        """Returns the signatures of texts that the images' SavedModel has too."""
        return {"embed_text": self.embed}

    def card(self, size: int) -> dict[str, int]:
        """Returns what the model card says of it, for an encoder of vectors `[B, size]`."""
        return {"embedding_size": self.size, "feature_size": size}

    def of_images(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns unit vectors `[B, P]` of an image encoder's output, and that as "features"."""
        projected = features
        if self._projector is not None:
            projected = tf.cast(self._projector(features, training=False), tf.float32)
        return {"embedding": tensors.unit_rows(projected), "features": features}


def save_signatures(
    encoder: keras.Model,
    path: str | os.PathLike,
    image_size: int,
    input_range: tuple[float, float] = (0.0, 1.0),
    texts: TextSide | CaptionSide | None = None,
) -> None:
    """Writes a SavedModel with five signatures from images to vectors.

    `serving_default(images)` and `embed_jpeg(jpeg)` bring images of any size to size, as does
    `embed_jpeg_or_nan(jpeg)`, whose row is NaN for a file that cannot be decoded.
    `embed_image(image)` and `embed_pixels(pixels)` take one image of the encoder's own size, float
    `[1, S, S, 3]` in [0, 1] and uint8: they have no operation that TFLite lacks.

    Args:
        encoder: Keras model from images `[B, H, W, 3]` to `[B, D]`.
        path: The SavedModel's directory.
        image_size: Side of the images that the encoder gets.
        input_range: Lowest and highest pixel that the encoder takes. The signatures take images in
            [0, 1] whatever it is. Defaults to (0, 1).
        texts: What of texts is near images. A `TextSide` adds `embed_text(texts)`, and has all
            signatures give unit vectors in one space; the encoder's output is "features" then. A
            `CaptionSide` adds the output "caption_embedding". Defaults to None.
    """
    low, high = input_range
    view = views.Evaluation(image_size)
    shape = tf.TensorSpec([image_size, image_size, 3], tf.float32)

    def embed(images: tf.Tensor) -> dict[str, tf.Tensor]:
        if (low, high) != (0, 1):
            images = low + (high - low) * images
        features = tf.cast(encoder(images, training=False), tf.float32)
        return {"embedding": features} if texts is None else texts.of_images(features)

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

    def decode(content: tf.Tensor) -> tf.Tensor:
        return prepare(tf.io.decode_image(content, channels=3, expand_animations=False))

    def embed_jpeg(jpeg: tf.Tensor) -> dict[str, tf.Tensor]:
        return embed(tf.map_fn(decode, jpeg, fn_output_signature=shape))

    def embed_jpeg_or_nan(jpeg: tf.Tensor) -> dict[str, tf.Tensor]:
        images, decoded = _decoded(jpeg, decode, shape)
        return {
            name: tf.where(decoded[:, tf.newaxis], vectors, np.nan)
            for name, vectors in embed(images).items()
        }

    def embed_pixels(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return embed(tf.cast(pixels, tf.float32) / 255)

    archive = keras.export.ExportArchive()
    # The tables in them are looked for in a module: of a layer, Keras saves all weights twice.
    tables = tf.Module()
    tables.parts = [encoder] if texts is None else [encoder, texts]
    archive.track(tables)
    images = tf.TensorSpec([None, None, None, 3], tf.float32, name="images")
    archive.add_endpoint("serving_default", serve, input_signature=[images])
    jpeg = tf.TensorSpec([None], tf.string, name="jpeg")
    archive.add_endpoint("embed_jpeg", embed_jpeg, input_signature=[jpeg])
    archive.add_endpoint("embed_jpeg_or_nan", embed_jpeg_or_nan, input_signature=[jpeg])
    one = [1, *shape.shape]
    image = tf.TensorSpec(one, tf.float32, name="image")
    archive.add_endpoint("embed_image", embed, input_signature=[image])
    pixels = tf.TensorSpec(one, tf.uint8, name="pixels")
    archive.add_endpoint("embed_pixels", embed_pixels, input_signature=[pixels])
    if texts is not None:
        for name, endpoint in texts.endpoints().items():
            archive.add_endpoint(name, endpoint)
    archive.write_out(str(path), verbose=False)


def _decoded(
    jpeg: tf.Tensor, decode: Callable[[tf.Tensor], tf.Tensor], shape: tf.TensorSpec
) -> tuple[tf.Tensor, tf.Tensor]:
    """Images `[B, S, S, 3]` of files, zeros for those that cannot be decoded, and bool `[B]`.

    A data set inside of the graph passes over what fails in it, which no other operation does.
    """
    count = tf.size(jpeg, tf.int64)
    files = tf.data.Dataset.zip(
        tf.data.Dataset.range(count), tf.data.Dataset.from_tensor_slices(jpeg)
    )
    images = files.map(
        lambda row, content: (row, decode(content)),
        num_parallel_calls=_DECODERS,
        deterministic=False,
    ).ignore_errors()
    # One more, so that there is something to return where nothing can be decoded.
    last = tf.data.Dataset.from_tensors((count, tf.zeros(shape.shape)))
    options = tf.data.Options()
    options.autotune.enabled = False  # Its thread may be waited for at the end.
    batch = images.concatenate(last).batch(count + 1).with_options(options)
    rows, found = batch.get_single_element()
    size = tf.stack([count + 1, *shape.shape])
    images = tf.scatter_nd(rows[:, tf.newaxis], found, size)[:-1]
    decoded = tf.scatter_nd(rows[:, tf.newaxis], tf.ones_like(rows), [count + 1])[:-1] > 0
    return tf.ensure_shape(images, [None, *shape.shape]), decoded


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
