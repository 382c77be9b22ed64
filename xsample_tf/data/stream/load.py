"""The stream: shards to batches of views, where the batch at step s depends on (seed, s) alone."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from xsample_tf.data import records
from xsample_tf.data.stream import examples
from xsample_tf.data.stream.batches import make_batches
from xsample_tf.data.stream.online_captions import encode
from xsample_tf.data.stream.shard_reader import (
    Directories,
    Shards,
    open_shards,
    read_ranges,
)
from xsample_tf.data.stream.window_shuffle import ShuffleOrder
from xsample_tf.data.text_encoder import TextEncoder
from xsample_tf.data.views import Evaluation
from xsample_tf.data.views.decode import decode_image
from xsample_tf.errors import InputError, suggest
from xsample_tf.tensorflow_errors import as_input_errors

Views = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

_CHUNK = 32  # Images that are decoded one after the other, where they are taken in order.
_PIECE = 256  # Records that are read at a time, there.
_LARGEST = 8192  # Records whose side information is held in memory as one window.


def load(
    directory: Directories,
    split: str,
    batch_size: int,
    views: Views,
    seed: int = 0,
    start_step: int = 0,
    embedding: str | TextEncoder | None = None,
    captions: str = "draw",
    shuffle_window: int = 8192,
    repeat: bool = True,
    share: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """The stream of training batches of a data directory.

    A record that cannot be decoded or used (image, caption vectors, label) keeps its place and is
    replaced by another one, a function of the seed, the epoch and the place; "substituted" says so.
    A shard that is damaged as a file ends the stream with an error for `as_input_error`, and so
    does a place for which no substitute can be used.

    Args:
        directory: What `prepare` wrote, or several of them.
        split: "train" or "val".
        batch_size: Images in the global batch.
        views: Policy: image uint8 `[H, W, 3]` and seed int32 `[2]` to float32 `[V, h, w, 3]`. One
            that has `decode`, of bytes and that seed, makes the image itself.
        seed: Of the order, the views and the drawn captions; 64 bits.
        start_step: The first batch is that of this step. Nothing before its window is read.
        embedding: Which text encoder's vectors, where there are several; or a text encoder, by
            which captions are encoded on the way, where no vectors are stored.
        captions: "draw" takes one of an image's vectors each visit, "mean" their mean.
        shuffle_window: Records that are permuted among each other, rounded up to whole batches;
            two windows are held in memory, undecoded.
        repeat: Whether epochs follow each other without end, or that of `start_step` is the last.
        share: With (i, n), part i of n of each global batch, B / n rows: what worker i of n trains
            on. Each reads the undecoded records of all, and decodes its own.

    Returns:
        A dataset of `(views float32 [B, V, h, w, 3], side)`; side has "substituted" bool `[B]`,
        "embedding" float32 `[B, T]` of unit rows where there are vectors (zero for an image
        without captions), "label" int32 `[B]` where all directories have the same class names, and
        the feature columns that all have, int64 or float32 `[B]` or `[B, n]`. An epoch's images
        that fill no batch are left out, other ones each epoch.

    Raises:
        InputError: No data there, files that do not fit `dataset.json`, a batch larger than the
            data, or an unknown split, embedding or argument.

    Example:
        >>> images = load("data/flickr8k", "train", 256, views=views.SimCLR(64))
        >>> model.fit(images, steps_per_epoch=steps_per_epoch("data/flickr8k", "train", 256))
    """
    _check_options(captions, seed, start_step, shuffle_window)
    part, parts = share
    if not 0 <= part < parts or batch_size % parts:
        raise InputError(
            f"share: expected part i of n equal ones of {batch_size} images, received {share}"
        )
    shards, encoder = _open(directory, split, embedding)

    decode = getattr(views, "decode", lambda content, seed: decode_image(content))

    def make(record: tf.Tensor, vectors: tf.Tensor, seeds: tf.Tensor) -> tuple[tf.Tensor, dict]:
        parsed = records.parse(record, shards.features, shards.columns)
        key = examples.key_hash(parsed)
        view_seed = tf.stack([seeds[0], key])
        image = decode(parsed["image"], view_seed)
        side = examples.side_information(
            parsed, vectors, shards, captions, tf.stack([seeds[1], key]), encoder is not None
        )
        return views(image, view_seed), side

    order = ShuffleOrder(shards, batch_size, seed, shuffle_window)
    stream = make_batches(order, make, start_step, repeat, share).map(
        lambda example, substituted: (example[0], example[1] | {"substituted": substituted})
    )
    if encoder is not None:
        stream = encode(stream, encoder, batch_size // parts)
    length = tf.data.INFINITE_CARDINALITY if repeat else order.steps - start_step % order.steps
    stream = stream.apply(tf.data.experimental.assert_cardinality(length))
    return stream.prefetch(tf.data.AUTOTUNE).with_options(_options(whole=parts == 1))


def load_images(
    directory: Directories,
    split: str,
    batch_size: int,
    image_size: int,
    embedding: str | TextEncoder | None = None,
    limit: int | None = None,
) -> tf.data.Dataset:
    """The images of a split once, in order, in the evaluation view.

    Images that cannot be decoded are left out, with a line in TensorFlow's log.

    Args:
        directory: What `prepare` wrote, or several of them.
        split: "train" or "val".
        batch_size: Images in a batch; the last one may have fewer.
        image_size: Side of the view in pixels.
        embedding: Which text encoder's vectors to read, or a text encoder, as for `load`; None
            gives none.
        limit: At most so many images.

    Returns:
        A dataset of dicts: "image" float32 `[b, S, S, 3]`, "key" string `[b]`, "label" int32 `[b]`
        (-1 where there is none), and with `embedding` "embedding" float32 `[b, T]`, the unit mean
        of the image's caption vectors.

    Raises:
        InputError: As for `load`.
    """
    if batch_size < 1 or (limit is not None and limit < 1):
        raise InputError(f"expected batch_size and limit from 1, received {batch_size} and {limit}")
    shards, encoder = _open(directory, split, embedding, vectors=embedding is not None)
    view = Evaluation(image_size)

    def decode(record: tf.Tensor, vectors: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = records.parse(record, shards.features, shards.columns)
        image = view(decode_image(parsed["image"]))[0]
        label = tf.cast(parsed["label"], tf.int32)
        example = {"image": image, "key": parsed["key"], "label": label}
        if shards.size:
            example["embedding"] = examples.caption_vector(vectors, shards.size, "mean", [0, 0])
        if encoder is not None:
            example["captions"] = examples.joined(parsed["captions"])
        return example

    pieces = [
        (index, begin, min(begin + _PIECE, count))
        for index, count in enumerate(shards.counts)
        for begin in range(0, count, _PIECE)
    ]
    dataset = read_ranges(shards, *np.array(pieces, np.int64).T)
    dataset = dataset if limit is None else dataset.take(limit)

    def usable(*chunk: tf.Tensor) -> tf.data.Dataset:
        # Here, since further out a damaged file's error would be ignored as well.
        images = tf.data.Dataset.from_tensor_slices(chunk).map(decode)
        return images.ignore_errors(log_warning=True)

    dataset = dataset.batch(_CHUNK).interleave(
        usable, block_length=_CHUNK, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    dataset = dataset.batch(batch_size)
    if encoder is not None:
        dataset = encode(dataset, encoder, None)
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(_options())


def side_information(
    directory: Directories,
    split: str,
    embedding: str | TextEncoder | None = None,
    limit: int | None = None,
    captions: str = "draw",
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """What the graph sees of the stream's first images, without decoding any.

    Args:
        directory: What `prepare` wrote, or several of them.
        split: "train" or "val".
        embedding: As for `load`.
        limit: Number of images; None for all. With the batch size, it is the batch of step 0.
        captions: As for `load`.
        seed: As for `load`.

    Returns:
        "embedding" float32 `[N, T]`, "label" int32 `[N]` and the feature columns, where `load` has
        them.

    Raises:
        InputError: As for `load`, and where the data turns out to be damaged.
    """
    _check_options(captions, seed)
    if limit is not None and limit < 1:
        raise InputError(f"limit: expected at least 1 image, received {limit}")
    shards, encoder = _open(directory, split, embedding)
    count = min(limit or shards.total, shards.total)
    order = ShuffleOrder(shards, count if count <= _LARGEST else 1, seed, _LARGEST)

    def make(record: tf.Tensor, vectors: tf.Tensor, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = records.parse(record, shards.features, shards.columns)
        return examples.side_information(
            parsed,
            vectors,
            shards,
            captions,
            tf.stack([seeds[1], examples.key_hash(parsed)]),
            encoder is not None,
        )

    batches = make_batches(order, make)
    if not batches.element_spec[0]:
        return {}
    stream = batches.map(lambda side, _: side)
    stream = stream if encoder is None else encode(stream, encoder, order.batch_size)
    with as_input_errors():
        sides = list(stream.take(-(-count // order.batch_size)).as_numpy_iterator())
    return {name: np.concatenate([side[name] for side in sides]) for name in sides[0]}


def steps_per_epoch(directory: Directories, split: str, batch_size: int) -> int:
    """Batches in an epoch: the records over the batch size, rounded down.

    Raises:
        InputError: No data there, or a batch larger than the data.
    """
    return open_shards(directory, split, None, vectors=False).steps(batch_size)


def _open(
    directory: Directories, split: str, embedding: str | TextEncoder | None, vectors: bool = True
) -> tuple[Shards, TextEncoder | None]:
    """Opens the shards, and returns with them the encoder if there is one in place of vectors."""
    if embedding is None or isinstance(embedding, str):
        return open_shards(directory, split, embedding, vectors), None
    return open_shards(directory, split, None, vectors=False), embedding


def _check_options(captions: str, seed: int, start_step: int = 0, shuffle_window: int = 1) -> None:
    if captions not in examples.CAPTIONS:
        raise InputError(f"captions: received {captions!r}, {suggest(captions, examples.CAPTIONS)}")
    if not -(2**63) <= seed < 2**63:
        raise InputError(f"seed: expected a whole number of 64 bits, received {seed}")
    if start_step < 0:
        raise InputError(f"start_step: expected 0 or more, received {start_step}")
    if shuffle_window < 1:
        raise InputError(f"shuffle_window: expected at least 1 record, received {shuffle_window}")


def _options(whole: bool = True) -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # Sharding by file, the default, would change the batch with the number of workers. What is a
    # share already is not to be shared again.
    policies = tf.data.experimental.AutoShardPolicy
    options.experimental_distribute.auto_shard_policy = policies.DATA if whole else policies.OFF
    return options
