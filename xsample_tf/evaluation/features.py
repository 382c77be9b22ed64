"""Frozen features of images, of one encoder or several in a single pass."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping

import keras
import numpy as np
import tensorflow as tf

from xsample_tf import data, text
from xsample_tf.data.manifest import Dataset, read_dataset
from xsample_tf.data.preparation.caption_vectors import PROBE
from xsample_tf.data.text_encoder import TextEncoder
from xsample_tf.errors import InputError
from xsample_tf.evaluation.foreign import opened
from xsample_tf.evaluation.settings import Settings
from xsample_tf.evaluation.splits import Queries
from xsample_tf.progress import Progress

Embed = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Features:
    """What a set of images looks like to the encoders.

    Attributes:
        embeddings: Float32 `[N, D]` by encoder.
        among_texts: Float32 `[N, P]` by encoder, the images where its texts are; none of an
            encoder whose embeddings or projections are there.
        labels: Int64 `[N]`, -1 where there is none.
        captions: Caption vectors float32 `[N, T]`, zero where there is none; None without vectors.
        vectors: Those of the single captions, float32 `[K, T]`; None where they were not read.
        texts: The captions themselves, strings `[K]`; None where they were not read.
        hashes: Uint64 `[N]`, which tell images apart: of their keys, else of their pixels.
    """

    embeddings: dict[str, np.ndarray]
    among_texts: dict[str, np.ndarray]
    labels: np.ndarray
    captions: np.ndarray | None = None
    vectors: Queries | None = None
    texts: Queries | None = None
    hashes: np.ndarray | None = None


def embedder(encoder: keras.Model | Embed) -> Embed:
    """Compiles an encoder for `evaluate`: float32 images `[B, S, S, 3]` to embeddings `[B, D]`.

    `evaluate` calls it itself. To evaluate one model repeatedly, as during training, without
    compiling it each time, call it once and pass its result on; it sees later weights.

    Args:
        encoder: A Keras model, an `XSampleModel` with its range; what `tf.saved_model.load` gives;
            or any other callable, which is returned as it is.
    """
    encoder = opened(encoder)
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


def image_size_of(encoder: keras.Model | Embed, image_size: int | None) -> int:
    """Returns the side of the images; the encoder's own where it is fixed and none is given.

    Raises:
        InputError: None is given or known, or the encoder takes another.
    """
    own = image_shape(encoder)[0]
    size = image_size or own
    if size is None:
        raise InputError(
            "image_size: expected the side of the images, received none, and the encoder takes any"
        )
    if size < 1 or own not in (None, size):
        raise InputError(f"image_size: expected {own or 'a side > 0'}, received {size}")
    return size


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
    """Runs encoders over one split of a data directory, in order, in the evaluation view.

    Of "val" it reads the single captions too.

    Args:
        embedders: By name, images float32 `[B, S, S, 3]` in [0, 1] to embeddings `[B, D]`, or to
            a pair of these and `[B, P]`, the images where the encoder's texts are.
        directory: A data directory.
        split: "train" or "val".
        image_size: S.
        batch_size: Images at a time.
        embedding: Name of the text encoder whose caption vectors are read, or a text encoder; None
            for none.
        limit: At most so many images.
        log: Receives lines on how far it is, where there is no terminal for a bar.

    Raises:
        InputError: An empty split, or embeddings of the wrong shape or not finite.
    """
    batches = data.load_images(
        directory, split, batch_size, image_size, embedding, limit, all_captions=split == "val"
    )
    records = data.read_dataset(directory).records(split)
    total = min(records, limit or records)
    features = embed_batches(embedders, batches, split, batch_size, total, log)
    if features.texts is None or embedding is None or isinstance(embedding, str):
        return features
    texts = [text.decode("utf-8", "replace") for text in features.texts.content]
    return dataclasses.replace(features, vectors=_usable(features.texts.images, embedding(texts)))


def embed_batches(
    embedders: Mapping[str, Embed],
    batches: tf.data.Dataset,
    name: str,
    batch_size: int,
    total: int | None = None,
    log: Callable[[str], None] = print,
) -> Features:
    """Runs encoders over batches of images.

    Args:
        embedders: As for `extract`.
        batches: Dicts of "image" float32 `[b, S, S, 3]`, and perhaps "key", "label", "embedding",
            "texts" and "vectors" as `data.load_images` gives them.
        name: What the images are called in messages.
        batch_size: A smaller batch is filled up, so that each encoder compiles once.
        total: How many images there are, where that is known.
        log: As for `extract`.

    Raises:
        InputError: No image, or embeddings of the wrong shape or not finite.
    """
    parts: dict[str, list[np.ndarray]] = {encoder: [] for encoder in embedders}
    among_texts: dict[str, list[np.ndarray]] = {}
    labels, captions, texts, vectors, hashes = [], [], [], [], []
    with Progress(f"features of {name}", total, "images", log) as progress:
        for batch in batches:
            images = batch["image"].numpy()
            count = len(images)
            hashes.append(hashes_of(batch["key"].numpy() if "key" in batch else images))
            if count < batch_size:
                images = np.resize(images, (batch_size, *images.shape[1:]))
            for encoder, embed in embedders.items():
                found = embed(tf.constant(images))
                if isinstance(found, tuple):
                    rows = np.asarray(found[1], np.float32)[:count]
                    among_texts.setdefault(encoder, []).append(rows)
                    found = found[0]
                embeddings = np.asarray(found)[:count].astype(np.float32)
                parts[encoder].append(_checked(embeddings, count, encoder, name))
            labels.append(batch["label"].numpy() if "label" in batch else np.full(count, -1))
            captions += [batch["embedding"].numpy()] if "embedding" in batch else []
            texts += [batch["texts"]] if "texts" in batch else []
            vectors += [batch["vectors"]] if "vectors" in batch else []
            progress.advance(count)
    if not labels:
        raise InputError(f"features of {name}: expected images, received none that can be decoded")
    return Features(
        *(
            {encoder: np.concatenate(arrays) for encoder, arrays in found.items()}
            for found in (parts, among_texts)
        ),
        np.concatenate(labels).astype(np.int64),
        np.concatenate(captions).astype(np.float32) if captions else None,
        _usable(*_flat(vectors)) if vectors else None,
        Queries(*_flat(texts)) if texts else None,
        hashes=np.concatenate(hashes),
    )


def hashes_of(images: Iterable[bytes | np.ndarray]) -> np.ndarray:
    """Returns hashes uint64 `[N]` of images' keys, or of their pixels."""
    digests = b"".join(hashlib.blake2b(image, digest_size=8).digest() for image in images)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def _flat(ragged: list[tf.RaggedTensor]) -> tuple[np.ndarray, np.ndarray]:
    """The row of each value, counted over all batches, and the values."""
    counts = np.concatenate([batch.row_lengths().numpy() for batch in ragged])
    values = np.concatenate([batch.values.numpy() for batch in ragged])
    return np.repeat(np.arange(len(counts)), counts), values


def _usable(images: np.ndarray, vectors: np.ndarray) -> Queries:
    """The captions whose vectors say something: those of blank ones are zero."""
    usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
    return Queries(images[usable], np.asarray(vectors, np.float32)[usable])


class Extractor:
    """Features of all encoders at a time, so that images are decoded once.

    Args:
        embedders: By encoder, as `embedder` gives them.
        settings: Of the evaluation.
        image_size: Side of the images in pixels.
    """

    def __init__(self, embedders: Mapping[str, Embed], settings: Settings, image_size: int):
        self.settings, self.image_size = settings, image_size
        self.embedders = embedders
        self._images: dict[str, Features] = {}

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The data directory; without one, `InputError`."""
        if self.settings.data_dir is None:
            raise InputError(
                "data_dir: expected a directory that tools/prepare_data.py wrote, received none"
            )
        return read_dataset(self.settings.data_dir)

    @functools.cached_property
    def captions(self) -> str | TextEncoder | None:
        """The text encoder, or the name of the one whose vectors are stored; None without."""
        asked = self.settings.embedding
        if asked is not None and not isinstance(asked, str):
            return asked
        return self.dataset.encoder(asked).name if asked or self.dataset.encoders else None

    @functools.cached_property
    def directory(self) -> dict[str, Features]:
        """The features of both splits of the data directory."""
        settings = self.settings
        return {
            split: extract(
                self.embedders,
                self.dataset.directory,
                split,
                self.image_size,
                settings.batch_size,
                self.captions,
                settings.limit,
                settings.log,
            )
            for split in ("train", "val")
        }

    @functools.cached_property
    def text_encoder(self) -> TextEncoder:
        """The text encoder of `captions`; `InputError` where it cannot be had."""
        captions = self.captions
        if not isinstance(captions, str | None):
            return captions
        stored = self.dataset.encoder(captions)
        encoder = text.load_encoder(stored.handle)
        text.check_probe(encoder, stored.size, PROBE, np.asarray(stored.probe, np.float32))
        return encoder

    def images(self, name: str, images: tf.data.Dataset) -> Features:
        """Returns the features of a task's images, which are kept until `release`."""
        if name not in self._images:
            size = self.settings.batch_size
            batches = images.batch(size).prefetch(tf.data.AUTOTUNE)
            count = int(images.cardinality())
            total = count if count >= 0 else None
            self._images[name] = embed_batches(
                self.embedders, batches, name, size, total, self.settings.log
            )
        return self._images[name]

    def release(self) -> None:
        """Forgets the features of a task's images."""
        self._images.clear()


def _checked(embeddings: np.ndarray, count: int, encoder: str, name: str) -> np.ndarray:
    if embeddings.ndim != 2 or len(embeddings) != count:
        raise InputError(
            f"encoder ({encoder}): expected embeddings [{count}, D] of {count} images, received "
            f"shape {embeddings.shape}"
        )
    bad = np.sum(~np.isfinite(embeddings).all(axis=1))
    if bad:
        raise InputError(
            f"encoder ({encoder}): expected finite embeddings, received NaN or infinity for {bad} "
            f"of {count} images of {name}; its weights have diverged"
        )
    return embeddings
