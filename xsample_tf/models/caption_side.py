"""What an image encoder is searched by: a linear map from its output to a text encoder's space."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from xsample_tf import tensors


class CaptionSide(tf.Module):
    """Brings an encoder's output and caption vectors into one space, as unit vectors.

    Args:
        kernel: Float `[D, T]`, from the encoder's output to caption vectors about `center`.
        bias: Float `[T]`.
        center: Float `[T]`, the mean caption vector.
        encoder: Name and handle of the text encoder, for the model card.
        probe: Text and the text encoder's vector of it, float `[T]`, to know the encoder by.
        read: The text encoder as a function of TensorFlow, strings `[K]` to unit vectors `[K, T]`;
            a `tf.Module`. Defaults to None, where it is none.

    Attributes:
        size: T.

    Example:
        >>> side = CaptionSide(kernel, bias, center, {"name": "minilm", "handle": "models/minilm"},
        ...                    ("a dog", encoder(["a dog"])[0]), encoder.graph)
        >>> export(encoder, "export", 224, texts=side)
    """

    def __init__(
        self,
        kernel: np.ndarray,
        bias: np.ndarray,
        center: np.ndarray,
        encoder: dict[str, str],
        probe: tuple[str, np.ndarray],
        read: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ):
        super().__init__()
        self._kernel, self._bias = self._constant(kernel), self._constant(bias)
        self._center = self._constant(center)
        self.probe_text = tf.Variable(probe[0], trainable=False)
        self.probe = self._constant(probe[1])
        self._encoder, self._read = encoder, read
        self.size = int(self._center.shape[0])

    def of_images(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns an encoder's output as it is, and beside it where its captions would be."""
        mapped = tf.matmul(features, self._kernel) + self._bias
        return {"embedding": features, "caption_embedding": tensors.unit_rows(mapped)}

    def of_vectors(self, vectors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns {"embedding": unit vectors `[K, T]`} of the text encoder's vectors `[K, T]`.

        Zeros, as of a blank text, stay zeros.
        """
        centered = tensors.unit_rows(vectors) - self._center
        blank = tf.reduce_all(vectors == 0, axis=1, keepdims=True)
        return {"embedding": tf.where(blank, 0.0, tensors.unit_rows(centered))}

    def of_texts(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the same of strings `[K]` in UTF-8, where there is `read`."""
        return self.of_vectors(self._read(texts))

    def endpoints(self) -> dict[str, Callable]:
        """Returns what the images' SavedModel has for texts: nothing, so that it needs no more."""
        return {}

    def card(self, size: int) -> dict[str, Any]:
        """Returns what the model card says of it, for an encoder of vectors `[B, size]`."""
        return {
            "embedding_size": size,
            "caption_embedding_size": self.size,
            "text_encoder": self._encoder,
        }

    def save(self, path: str | os.PathLike) -> None:
        """Writes the SavedModel of texts: `embed_vectors`, and `embed_text` where it can."""
        vectors = tf.TensorSpec([None, self.size], tf.float32, "vectors")
        texts = tf.TensorSpec([None], tf.string, "texts")
        signatures = {"embed_vectors": tf.function(self.of_vectors, [vectors], autograph=False)}
        if self._read is not None:
            signatures["embed_text"] = tf.function(self.of_texts, [texts], autograph=False)
        tf.saved_model.save(self, str(path), signatures)

    def _constant(self, value: np.ndarray) -> tf.Variable:
        return tf.Variable(np.asarray(value, np.float32), trainable=False)
