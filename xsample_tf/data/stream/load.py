"""The stream: shards to batches of views, where the batch at step s depends on (seed, s) alone."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from xsample_tf.data import records
from xsample_tf.data.stream import examples
from xsample_tf.data.stream.batches import make_batches, parallel_calls
from xsample_tf.data.stream.online_captions import encode, tokenize
from xsample_tf.data.stream.range_reader import read_ranges
from xsample_tf.data.stream.shard_reader import Directories
from xsample_tf.data.stream.subset import Subset
from xsample_tf.data.stream.subset_shards import open_subset, open_with_encoder
from xsample_tf.data.stream.window_shuffle import ShuffleOrder
from xsample_tf.data.text_encoder import TextEncoder, Tokenizer
from xsample_tf.data.views import Evaluation
from xsample_tf.data.views.decode import decode_image
from xsample_tf.errors import InputError

Views = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

_CHUNK = 32  # Images that are decoded one after the other, where they are taken in order.
_PIECE = 256  # Records that are read at a time, there.
_AHEAD = 2  # Batches that are made before they are asked for.


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
    tokens: Tokenizer | None = None,
    subset: Subset | None = None,
    image_embedding: str | None = None,
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
        tokens: Makes tokens of one caption of each image, the one whose vector is drawn: strings
            `[B]` to int32 `[B, L]`, with `length` L. Defaults to None, no tokens.
        subset: Which of the images an epoch visits. Defaults to None, all.
        image_embedding: Which image encoder's vectors to read as "image_embedding" float32
            `[B, D]`, "" for the only one. Defaults to None, none.

    Returns:
        A dataset of `(views float32 [B, V, h, w, 3], side)`; side has "substituted" bool `[B]`,
        "key_hash" int32 `[B]`, which tells images apart wherever they stand in the batch,
        "embedding" float32 `[B, T]` of unit rows where there are vectors (zero for an image
        without captions), "tokens" int32 `[B, L]` with `tokens`, "label" int32 `[B]` where all
        directories have the same class names, and the feature columns that all have, int64 or
        float32 `[B]` or `[B, n]`. An epoch's images that fill no batch are left out, other ones
        each epoch.

    Raises:
        InputError: No data there, files that do not fit `dataset.json`, a batch larger than the
            data, or an unknown split, embedding or argument.

    Example:
        >>> images = load("data/flickr8k", "train", 256, views=views.SimCLR(64))
        >>> model.fit(images, steps_per_epoch=steps_per_epoch("data/flickr8k", "train", 256))
    """
    examples.check_draw(captions, seed)
    if start_step < 0:
        raise InputError(f"start_step: expected 0 or more, received {start_step}")
    if shuffle_window < 1:
        raise InputError(f"shuffle_window: expected at least 1 record, received {shuffle_window}")
    part, parts = share
    if not 0 <= part < parts or batch_size % parts:
        raise InputError(
            f"share: expected part i of n equal ones of {batch_size} images, received {share}"
        )
    if tokens is not None and captions != "draw":
        raise InputError(f"captions: expected 'draw' with tokens, received {captions!r}")
    shards, encoder = open_with_encoder(
        directory, split, embedding, subset=subset, image_embedding=image_embedding
    )
    with_captions = encoder is not None or tokens is not None

    decode = getattr(views, "decode", lambda content, seed: decode_image(content))

    def make(record: tf.Tensor, vectors: tf.Tensor, seeds: tf.Tensor) -> tuple[tf.Tensor, dict]:
        parsed = records.parse(record, shards.features, shards.columns)
        key = examples.key_hash(parsed)
        view_seed = tf.stack([seeds[0], key])
        image = decode(parsed["image"], view_seed)
        side = examples.side_information(
            parsed, vectors, shards, captions, tf.stack([seeds[1], key]), with_captions
        )
        return views(image, view_seed), side

    order = ShuffleOrder(shards, batch_size, seed, shuffle_window)
    stream = make_batches(order, make, start_step, repeat, share).map(
        lambda example, substituted: (example[0], example[1] | {"substituted": substituted})
    )
    if tokens is not None:
        stream = tokenize(stream, tokens, batch_size // parts)
    if encoder is not None:
        stream = encode(stream, encoder, batch_size // parts)
    elif tokens is not None:
        stream = stream.map(_without_captions)
    length = tf.data.INFINITE_CARDINALITY if repeat else order.steps - start_step % order.steps
    stream = stream.apply(tf.data.experimental.assert_cardinality(length))
    return stream.prefetch(_AHEAD).with_options(_options(whole=parts == 1))


def _without_captions(views: tf.Tensor, side: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict]:
    return views, {name: value for name, value in side.items() if name != "captions"}


def load_images(
    directory: Directories,
    split: str,
    batch_size: int,
    image_size: int,
    embedding: str | TextEncoder | None = None,
    limit: int | None = None,
    all_captions: bool = False,
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
        all_captions: Adds the single captions. Defaults to False.

    Returns:
        A dataset of dicts: "image" float32 `[b, S, S, 3]`, "key" string `[b]`, "label" int32 `[b]`
        (-1 where there is none), and with `embedding` "embedding" float32 `[b, T]`, the unit mean
        of the image's caption vectors. With `all_captions` also "texts", a `RaggedTensor` of
        strings `[b, (K)]`, and "vectors" float32 `[b, (K), T]` of those that are stored.

    Raises:
        InputError: As for `load`.
    """
    if batch_size < 1 or (limit is not None and limit < 1):
        raise InputError(f"expected batch_size and limit from 1, received {batch_size} and {limit}")
    shards, encoder = open_with_encoder(directory, split, embedding, vectors=embedding is not None)
    view = Evaluation(image_size)

    def decode(record: tf.Tensor, vectors: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = records.parse(record, shards.features, shards.columns)
        image = view(decode_image(parsed["image"]))[0]
        label = tf.cast(parsed["label"], tf.int32)
        example = {"image": image, "key": parsed["key"], "label": label}
        if shards.size:
            example["embedding"] = examples.caption_vector(vectors[0], shards.size, "mean", [0, 0])
        if encoder is not None:
            example["captions"] = examples.joined(parsed["captions"])
        if all_captions:  # The shapes say what is ragged.
            example["image"] = tf.ensure_shape(image, [image_size, image_size, 3])
            example["texts"] = parsed["captions"]
            if shards.size:
                example["vectors"] = examples.caption_table(vectors[0], shards.size)
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
        usable,
        block_length=_CHUNK,
        cycle_length=parallel_calls(),
        num_parallel_calls=parallel_calls(),
        deterministic=True,
    )
    dataset = dataset.ragged_batch(batch_size) if all_captions else dataset.batch(batch_size)
    if encoder is not None:
        dataset = encode(dataset, encoder, None)
    return dataset.prefetch(_AHEAD).with_options(_options())


def steps_per_epoch(
    directory: Directories, split: str, batch_size: int, subset: Subset | None = None
) -> int:
    """Batches in an epoch: the records, or those of a subset, over the batch size, rounded down.

    Raises:
        InputError: No data there, or a batch larger than the data.
    """
    return open_subset(directory, split, None, vectors=False, subset=subset).steps(batch_size)


def _options(whole: bool = True) -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # Its thread is sometimes not woken when an iterator ends, which then waits for up to a minute.
    options.autotune.enabled = False
    # Sharding by file, the default, would change the batch with the number of workers. What is a
    # share already is not to be shared again.
    policies = tf.data.experimental.AutoShardPolicy
    options.experimental_distribute.auto_shard_policy = policies.DATA if whole else policies.OFF
    return options
