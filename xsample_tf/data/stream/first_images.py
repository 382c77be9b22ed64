"""The first images of the stream without their views: side information, captions, thumbnails."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import tensorflow as tf

from xsample_tf.data import records
from xsample_tf.data.stream import examples
from xsample_tf.data.stream.batches import make_batches
from xsample_tf.data.stream.online_captions import encode
from xsample_tf.data.stream.shard_reader import Directories, Shards
from xsample_tf.data.stream.subset import Subset
from xsample_tf.data.stream.subset_shards import open_subset, open_with_encoder
from xsample_tf.data.stream.window_shuffle import ShuffleOrder
from xsample_tf.data.text_encoder import TextEncoder
from xsample_tf.data.views import Evaluation
from xsample_tf.data.views.decode import decode_image
from xsample_tf.errors import InputError
from xsample_tf.tensorflow_errors import as_input_errors

_LARGEST = 8192  # Records that are held in memory as one window.
_JPEG_QUALITY = 80


def side_information(
    directory: Directories,
    split: str,
    embedding: str | TextEncoder | None = None,
    limit: int | None = None,
    captions: str = "draw",
    seed: int = 0,
    subset: Subset | None = None,
    image_embedding: str | None = None,
    texts: bool = False,
) -> dict[str, np.ndarray]:
    """What the graph sees of the stream's first images, without decoding any.

    Args:
        directory: What `prepare` wrote, or several of them.
        split: "train" or "val".
        embedding: As for `load`.
        limit: Number of images; None for all. With the batch size, it is the batch of step 0.
        captions: As for `load`.
        seed: As for `load`.
        subset: As for `load`.
        image_embedding: As for `load`.
        texts: Whether to return keys and captions too. Defaults to False.

    Returns:
        "key_hash" int32 `[N]`, and "embedding" float32 `[N, T]`, "label" int32 `[N]` and the
        feature columns, where `load` has them. With `texts` also "key" and "caption", bytes `[N]`:
        the caption whose vector is drawn, all of them with lines between for "mean", empty where
        there is none.

    Raises:
        InputError: As for `load`, and where the data turns out to be damaged.
    """
    examples.check_draw(captions, seed)
    shards, encoder = open_with_encoder(
        directory, split, embedding, subset=subset, image_embedding=image_embedding
    )

    def make(record: tf.Tensor, vectors: tf.Tensor, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = records.parse(record, shards.features, shards.columns)
        draw = tf.stack([seeds[1], examples.key_hash(parsed)])
        side = examples.side_information(
            parsed, vectors, shards, captions, draw, encoder is not None
        )
        if texts:
            shown = examples.chosen(parsed["captions"], captions, draw)
            side |= {
                "key": parsed["key"],
                "caption": tf.strings.reduce_join(shown, separator="\n"),
            }
        return side

    encoded = None if encoder is None else lambda stream, size: encode(stream, encoder, size)
    return _first(shards, limit, seed, make, encoded)


def thumbnails(
    directory: Directories,
    split: str,
    keys: Collection[bytes],
    size: int,
    limit: int | None = None,
    seed: int = 0,
    subset: Subset | None = None,
) -> dict[bytes, bytes]:
    """Returns small JPEG files of some of the stream's first images.

    Args:
        directory: As for `side_information`.
        split: As for `side_information`.
        keys: Keys of the images; no other one is decoded.
        size: Side of the square thumbnails in pixels.
        limit: As for `side_information`; images beyond it are not found.
        seed: As for `side_information`.
        subset: As for `side_information`.

    Returns:
        JPEG bytes by key, without images that cannot be decoded.

    Raises:
        InputError: As for `side_information`.

    Example:
        >>> side = side_information("data/photos", "train", limit=4, texts=True)
        >>> small = thumbnails("data/photos", "train", side["key"], size=96, limit=4)
    """
    examples.check_draw("draw", seed)
    shards = open_subset(directory, split, None, vectors=False, subset=subset)
    view, wanted = Evaluation(size), tf.constant(sorted(keys), tf.string)

    def shrink(content: tf.Tensor) -> tf.Tensor:
        pixels = tf.cast(tf.round(view(decode_image(content))[0] * 255), tf.uint8)
        return tf.io.encode_jpeg(pixels, quality=_JPEG_QUALITY)

    def make(record: tf.Tensor, vectors: tf.Tensor, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        del vectors, seeds
        parsed = records.parse(record, shards.features)
        is_wanted = tf.reduce_any(parsed["key"] == wanted)
        jpeg = tf.cond(is_wanted, lambda: shrink(parsed["image"]), lambda: "")
        return {"key": parsed["key"], "jpeg": jpeg}

    found = _first(shards, limit, seed, make)
    return {key: jpeg for key, jpeg in zip(found["key"], found["jpeg"], strict=True) if jpeg}


def _first(
    shards: Shards,
    limit: int | None,
    seed: int,
    make: Callable[..., dict[str, tf.Tensor]],
    encoded: Callable[[tf.data.Dataset, int], tf.data.Dataset] | None = None,
) -> dict[str, Any]:
    """Returns what `make` makes of the first records, and `encoded` of its batches, stacked."""
    if limit is not None and limit < 1:
        raise InputError(f"limit: expected at least 1 image, received {limit}")
    count = min(limit or shards.total, shards.total)
    order = ShuffleOrder(shards, count if count <= _LARGEST else 1, seed, _LARGEST)
    stream = make_batches(order, make).map(lambda example, _: example)
    stream = stream if encoded is None else encoded(stream, order.batch_size)
    options = tf.data.Options()
    options.autotune.enabled = False  # Else the end may be waited for; see `load`.
    stream = stream.with_options(options)
    with as_input_errors():
        batches = list(stream.take(-(-count // order.batch_size)).as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
