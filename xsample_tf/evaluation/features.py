"""Frozen features of a data directory, of one encoder or several in a single pass."""

import dataclasses
import time
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from xsample_tf import data
from xsample_tf.data.text_encoder import TextEncoder
from xsample_tf.errors import InputError

Embed = Callable[[np.ndarray], np.ndarray]
_LOG_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Features:
    """What a split looks like to the encoders.

    Attributes:
        embeddings: Float32 `[N, D]` by encoder.
        labels: Int64 `[N]`, -1 where there is none.
        captions: Caption vectors float32 `[N, T]`, zero where there is none; None without vectors.
    """

    embeddings: dict[str, np.ndarray]
    labels: np.ndarray
    captions: np.ndarray | None


def embedder(encoder: keras.Model | Embed) -> Embed:
    """Compiles an encoder for `evaluate`: float32 images `[B, S, S, 3]` to embeddings `[B, D]`.

    `evaluate` calls it itself. To evaluate one model repeatedly, as during training, without
    compiling it each time, call it once and pass its result on; it sees later weights.

    Args:
        encoder: A Keras model, or any other callable, which is returned as it is.
    """
    if not isinstance(encoder, keras.Model):
        return encoder
    return tf.function(
        lambda images: tf.cast(encoder(images, training=False), tf.float32),
        input_signature=[tf.TensorSpec([None, *image_shape(encoder)], tf.float32)],
    )


def image_shape(encoder: keras.Model | Embed) -> tuple[int | None, int | None, int]:
    """Returns the (H, W, 3) that an encoder takes, None where it takes any or does not say."""
    _, height, width, channels = getattr(encoder, "input_shape", (None, None, None, 3))
    return height, width, channels


def extract(
    embedders: Mapping[str, Embed],
    directory: str,
    split: str,
    image_size: int,
    batch_size: int,
    embedding: str | TextEncoder | None = None,
    limit: int | None = None,
    log: Callable[[str], None] = print,
) -> Features:
    """Runs encoders over one split, in order, in the evaluation view.

    Args:
        embedders: By name, images float32 `[B, S, S, 3]` in [0, 1] to embeddings `[B, D]`.
        directory: A data directory.
        split: "train" or "val".
        image_size: S.
        batch_size: Images at a time; the last batch is filled up, so each encoder compiles once.
        embedding: Name of the text encoder whose caption vectors are read, or a text encoder; None
            for none.
        limit: At most so many images.
        log: Receives a line every half minute.

    Raises:
        InputError: An empty split, or embeddings of the wrong shape or not finite.
    """
    batches = data.load_images(directory, split, batch_size, image_size, embedding, limit)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in embedders}
    labels, captions = [], []
    done, start = 0, time.monotonic()
    said = start
    for batch in batches.as_numpy_iterator():
        count = len(batch["image"])
        images = batch["image"]
        if count < batch_size:
            images = np.resize(images, (batch_size, *images.shape[1:]))
        for name, embed in embedders.items():
            embeddings = np.asarray(embed(tf.constant(images)))[:count].astype(np.float32)
            parts[name].append(_checked(embeddings, count, name, split))
        labels.append(batch["label"])
        if embedding is not None:
            captions.append(batch["embedding"])
        done += count
        if time.monotonic() - said > _LOG_SECONDS:
            said = time.monotonic()
            log(f"features of {split}: {done:,} images, {done / (said - start):,.0f}/s")
    if not done:
        raise InputError(f"split: expected images, received none in {split} of {directory}")
    return Features(
        {name: np.concatenate(arrays) for name, arrays in parts.items()},
        np.concatenate(labels).astype(np.int64),
        np.concatenate(captions).astype(np.float32) if captions else None,
    )


def _checked(embeddings: np.ndarray, count: int, name: str, split: str) -> np.ndarray:
    if embeddings.ndim != 2 or len(embeddings) != count:
        raise InputError(
            f"encoder ({name}): expected embeddings [{count}, D] of {count} images, received shape "
            f"{embeddings.shape}"
        )
    bad = np.sum(~np.isfinite(embeddings).all(axis=1))
    if bad:
        raise InputError(
            f"encoder ({name}): expected finite embeddings, received NaN or infinity for {bad} of "
            f"{count} images of {split}; its weights have diverged"
        )
    return embeddings
