"""What is evaluated: encoders with what was trained beside them, and the untrained one."""

import dataclasses
import hashlib
import random
from collections.abc import Callable, Sequence
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.evaluation.features import Embed, embedder
from xsample_tf.evaluation.foreign import opened
from xsample_tf.evaluation.settings import Settings
from xsample_tf.evaluation.splits import Queries


@dataclasses.dataclass(frozen=True)
class TextEmbedder:
    """The text side of a model of two towers.

    Attributes:
        takes: What of captions it takes: "vectors" of the data directory, or "texts", the strings
            themselves.
        embed: Those of B captions, `[B, ...]`, to where the image projector's output is, `[B, P]`.
    """

    takes: Literal["vectors", "texts"]
    embed: Callable[[tf.Tensor], tf.Tensor]

    @classmethod
    def of_strings(
        cls, embed_texts: Callable[[Sequence[str]], np.ndarray] | None
    ) -> "TextEmbedder | None":
        """Returns that of a function of strings; None of None."""
        if embed_texts is None:
            return None
        return cls(
            "texts",
            lambda texts: embed_texts([t.decode("utf-8", "replace") for t in texts.numpy()]),
        )

    def project(self, captions: Queries, batch_size: int) -> Queries:
        """Returns captions with `[K, P]` as their content, computed so many at a time."""
        batches = np.split(captions.content, range(batch_size, len(captions.content), batch_size))
        rows = np.concatenate([np.asarray(self.embed(tf.constant(batch))) for batch in batches])
        return Queries(captions.images, rows)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An encoder to evaluate, with what was trained beside it.

    Attributes:
        encoder: As for `evaluate`.
        projector: As for `evaluate`. Defaults to None.
        text_embedder: As for `evaluate`. Defaults to None.
    """

    encoder: keras.Model | Embed
    projector: keras.Model | None = None
    text_embedder: TextEmbedder | None = None

    def opened(self) -> "Candidate":
        """Returns the same with an encoder that can be called."""
        return dataclasses.replace(self, encoder=opened(self.encoder))

    def checksum(self) -> str:
        """Returns a hash of the weights, of those encoders that say which they have."""
        digest = hashlib.blake2b(digest_size=8)
        encoder = self.encoder
        holder = encoder if hasattr(encoder, "variables") else getattr(encoder, "model", None)
        for variable in getattr(holder, "variables", ()):
            digest.update(np.ascontiguousarray(variable).tobytes())
        return digest.hexdigest()

    def embedder(self) -> Embed:
        """Returns what gives embeddings, and images among texts too where those are elsewhere."""
        return getattr(self.encoder, "embed_with_texts", None) or embedder(self.encoder)

    def projection(
        self, like: keras.Model | None, settings: Settings
    ) -> Callable[[np.ndarray], np.ndarray] | None:
        """Returns the projector as a function of embeddings `[N, D]`.

        Args:
            like: Of which there is a fresh one where this encoder has no projector; None for none.
            settings: The seed, and how many images go at a time.
        """
        model = self.projector
        if model is None:
            model = None if like is None else untrained(like, settings.seed)
        if model is None:
            return None

        def project(features: np.ndarray) -> np.ndarray:
            # The projector's `predict` would share the work with the workers of a run.
            size = settings.batch_size
            batches = np.split(features, range(size, len(features), size))
            return np.concatenate([np.asarray(model(batch, training=False)) for batch in batches])

        return project


def untrained(encoder: keras.Model, seed: int = 0) -> keras.Model:
    """Returns the encoder's architecture with fresh weights: the baseline of every measure.

    Normalisation constants that were adapted to data are kept. Other weights are drawn anew, the
    same for the same seed, whatever has been drawn before.

    Args:
        encoder: A Keras model that can be rebuilt from its configuration.
        seed: Of the weights.

    Raises:
        InputError: The model cannot be rebuilt.

    Example:
        >>> evaluate(encoder, "data/flickr8k", baseline=untrained(encoder))
    """
    state = random.getstate()
    random.seed(seed)  # Keras draws the seeds of unseeded initializers from here.
    try:
        fresh = keras.models.clone_model(encoder)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise InputError(
            "encoder: expected a Keras model that can be rebuilt from its configuration, received "
            f"{type(encoder).__name__} ({str(error).splitlines()[0]}); implement get_config"
        ) from error
    finally:
        random.setstate(state)
    for ours, theirs in zip(_layers(fresh), _layers(encoder), strict=True):
        if isinstance(theirs, keras.layers.Normalization) and theirs.weights:
            ours.set_weights(theirs.get_weights())
            ours.finalize_state()
    return fresh


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model._flatten_layers() if layer is not model]
