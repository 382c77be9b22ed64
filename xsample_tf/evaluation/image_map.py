"""The linear map from an encoder's images to captions, without the rest of an evaluation."""

import os
from collections.abc import Callable

import keras

from xsample_tf.data.manifest import CaptionVectors, read_dataset
from xsample_tf.data.text_encoder import TextEncoder
from xsample_tf.errors import InputError
from xsample_tf.evaluation.caption_map import CaptionMap, fit_caption_map
from xsample_tf.evaluation.features import Embed, embedder, extract, image_size_of
from xsample_tf.evaluation.foreign import opened


def map_to_captions(
    encoder: keras.Model | Embed,
    data_dir: str | os.PathLike,
    image_size: int | None = None,
    captions: CaptionVectors | TextEncoder | None = None,
    seed: int = 0,
    log: Callable[[str], None] = print,
    batch_size: int = 256,
) -> CaptionMap:
    """Fits the linear map from an encoder's images to captions, on `train/` alone.

    Args:
        encoder: As for `evaluate`.
        data_dir: A data directory.
        image_size: As for `evaluate`.
        captions: Whose vectors, or a text encoder where none are stored. Defaults to None: the
            only ones that are stored.
        seed: Of the held-out tenth. Defaults to 0.
        log: As for `evaluate`.
        batch_size: Images at a time. Defaults to 256.

    Raises:
        InputError: No such data, or fewer than 2 images that have captions.

    Example:
        >>> map_to_captions(encoder, "data/photos").of_images(features).shape
        (1000, 384)
    """
    encoder = opened(encoder)
    if captions is None:
        captions = read_dataset(data_dir).encoder(None)
    stored = captions.name if isinstance(captions, CaptionVectors) else captions
    size = image_size_of(encoder, image_size)
    embed = {"trained": embedder(encoder)}
    features = extract(embed, str(data_dir), "train", size, batch_size, stored, log=log)
    known = features.captions.any(axis=1)
    if known.sum() < 2:
        raise InputError(
            f"data_dir: expected 2 images or more with captions in {data_dir}, received "
            f"{known.sum()}"
        )
    return fit_caption_map(features.embeddings["trained"][known], features.captions[known], seed)
