"""The stream: shards to batches, where the batch at step s depends on the seed and s alone.

An epoch permutes the shards and groups neighbours into windows; the records of a window are
permuted among each other. A stream opens at any step by arithmetic on the counts in `dataset.json`:
nothing that came before is read, and no state has to be saved.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from xsample_tf.data import records
from xsample_tf.data.views import Evaluation
from xsample_tf.errors import InputError

Directories = str | os.PathLike | Sequence[str | os.PathLike]
Views = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# How many records are tried for one place before the data is declared unreadable.
ATTEMPTS = 16


@dataclasses.dataclass(frozen=True)
class _Files:
    """The shards of a split, over all directories.

    Attributes:
        images: Paths of the image shards.
        vectors: Paths of the caption vectors beside them, or None.
        counts: Records in each.
        size: T, or 0 without vectors.
        classes: C, or 0 without labels.
    """

    images: tuple[str, ...]
    vectors: tuple[str, ...] | None
    counts: np.ndarray
    size: int
    classes: int


def load(
    directory: Directories,
    split: str,
    batch_size: int,
    views: Views,
    seed: int = 0,
    start_step: int = 0,
    embedding: str | None = None,
    captions: str = "draw",
    shuffle_window: int = 8192,
    repeat: bool = True,
) -> tf.data.Dataset:
    """The stream of training batches of a data directory.

    A record that cannot be read, decoded or used keeps its place and is replaced by another one, a
    function of the seed, the epoch and the place; "substituted" says so.

    Args:
        directory: What `prepare` wrote, or several of them.
        split: "train" or "val".
        batch_size: Images in the global batch.
        views: Policy: image uint8 `[H, W, 3]` and seed int32 `[2]` to float32 `[V, h, w, 3]`.
        seed: Of the order, the views and the drawn captions.
        start_step: The first batch is that of this step.
        embedding: Which text encoder's vectors, where there are several.
        captions: "draw" takes one of an image's vectors each visit, "mean" their mean.
        shuffle_window: About how many records are permuted among each other; they are held in
            memory, undecoded, twice.
        repeat: Whether epochs follow each other without end.

    Returns:
        A dataset of `(views float32 [B, V, h, w, 3], side)`; side has "substituted" bool `[B]`,
        "embedding" float32 `[B, T]` where there are vectors, "label" int32 `[B]` where there are
        class names. An epoch's last images that fill no batch are left out of that epoch.

    Raises:
        InputError: No data there, files that do not fit `dataset.json`, a batch larger than the
            data, or an unknown split, embedding or argument.

    Example:
        >>> images = load("data/flickr8k", "train", 256, views=views.SimCLR(64))
        >>> model.fit(images, steps_per_epoch=steps_per_epoch("data/flickr8k", "train", 256))
    """
    if captions not in ("draw", "mean"):
        raise InputError(f"captions: expected 'draw' or 'mean', received {captions!r}")
    if start_step < 0 or shuffle_window < 1:
        raise InputError(
            "expected start_step from 0 and shuffle_window from 1, received "
            f"{start_step} and {shuffle_window}"
        )
    files = _files(directory, split, embedding)
    steps = _steps(files, directory, split, batch_size)
    windows = tf.data.Dataset.from_generator(
        lambda: _windows(
            files, steps * batch_size, seed, start_step, steps, shuffle_window, repeat
        ),
        output_signature=(
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([2], tf.int32),
            tf.TensorSpec([2], tf.int64),
        ),
    )

    def places(serialized, vectors, order, epoch_seed, span):
        # Tensors of the window are captured, so the elements share them without a copy.
        def first_readable(place):
            return (
                tf.data.Dataset.range(ATTEMPTS - 1)
                .map(lambda attempt: record(place, attempt))
                .ignore_errors()
                # The last attempt may fail: then the data cannot be used, and that is said.
                .concatenate(tf.data.Dataset.range(1).map(lambda _: record(place, ATTEMPTS - 1)))
                .take(1)
            )

        def record(place, attempt):
            attempt_seed = tf.random.experimental.stateless_fold_in(
                tf.random.experimental.stateless_fold_in(epoch_seed, place), attempt
            )
            other = tf.random.stateless_uniform(
                [], attempt_seed, 0, tf.size(order, out_type=tf.int64), tf.int64
            )
            index = tf.where(attempt == 0, order[place], other)
            return _read(serialized[index], vectors[index], epoch_seed, files, captions), (
                attempt > 0
            )

        return tf.data.Dataset.range(span[0], span[1]).interleave(
            first_readable,
            cycle_length=2 * (os.cpu_count() or 1),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def augment(example, substituted):
        image, image_seed, side = example
        return views(image, image_seed), side | {"substituted": substituted}

    dataset = (
        windows.map(lambda shards, *rest: (*_read_window(shards, files), *rest))
        .prefetch(1)
        .flat_map(places)
        .map(augment, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )
    return dataset.with_options(_options())


def load_images(
    directory: Directories,
    split: str,
    batch_size: int,
    image_size: int,
    embedding: str | None = None,
    limit: int | None = None,
) -> tf.data.Dataset:
    """The images of a split once, in order, in the evaluation view.

    Images that cannot be decoded are left out, with a line in TensorFlow's log.

    Args:
        directory: What `prepare` wrote, or several of them.
        split: "train" or "val".
        batch_size: Images in a batch; the last one may have fewer.
        image_size: Side of the view in pixels.
        embedding: Which text encoder's vectors to read; None reads none.
        limit: At most so many images.

    Returns:
        A dataset of dicts: "image" float32 `[b, S, S, 3]`, "key" string `[b]`, "label" int32 `[b]`
        (-1 where there is none), and with `embedding` "embedding" float32 `[b, T]`, the unit mean
        of the image's caption vectors.
    """
    files = _files(directory, split, embedding, wanted=embedding is not None)
    view = Evaluation(image_size)

    def decode(serialized, vectors):
        parsed = records.parse(serialized)
        example = {
            "image": view(_decode(parsed["image"]))[0],
            "key": parsed["key"],
            "label": tf.cast(parsed["label"], tf.int32),
        }
        if files.vectors is not None:
            example["embedding"] = _mean(_vectors(vectors, files.size))
        return example

    dataset = _in_order(files).take(-1 if limit is None else limit)
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.ignore_errors(log_warning=True).batch(batch_size)
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(_options())


def side_information(
    directory: Directories, split: str, embedding: str | None = None, limit: int | None = None
) -> dict[str, np.ndarray]:
    """What the graph would see of some images, without decoding any.

    Args:
        directory: What `prepare` wrote, or several of them.
        split: "train" or "val".
        embedding: Which text encoder's vectors, where there are several.
        limit: At most so many images, the first ones.

    Returns:
        "embedding" float32 `[N, T]`, one of each image's caption vectors, where there are vectors;
        "label" int32 `[N]`, where there are class names. Records that cannot be used are left out.
    """
    files = _files(directory, split, embedding)

    def side(serialized, vectors):
        blank = tf.constant([0, 0], tf.int32)
        return _side(records.parse(serialized), vectors, blank, files, "draw")

    dataset = _in_order(files).take(-1 if limit is None else limit)
    dataset = dataset.map(side, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors().batch(1024)
    batches = list(dataset.as_numpy_iterator())
    if not batches:
        raise InputError(f"data: no record of {split} in {directory} can be used")
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def steps_per_epoch(directory: Directories, split: str, batch_size: int) -> int:
    """Batches in an epoch: the records over the batch size, rounded down.

    Raises:
        InputError: No data there, or a batch larger than the data.
    """
    return _steps(_files(directory, split, None, wanted=False), directory, split, batch_size)


def _files(
    directory: Directories, split: str, embedding: str | None, wanted: bool = True
) -> _Files:
    """The shards of a split, and the vectors beside them if `wanted` and there are any."""
    directories = [directory] if isinstance(directory, str | os.PathLike) else list(directory)
    if not directories:
        raise InputError("data_dir: expected a data directory, received none")
    sets = [records.read_dataset(one) for one in directories]
    for one in sets[1:]:
        if one.class_names != sets[0].class_names:
            raise InputError(
                f"data_dir: expected the same class names in all directories, received others in "
                f"{one.directory} than in {sets[0].directory}"
            )
    shards = [(one, shard) for one in sets for shard in one.splits.get(split, ())]
    if not shards:
        sets[0].records(split)  # Raises for an unknown split, with the nearest names.
        raise InputError(f"split: {split!r} of {directories[0]} has no images")
    vectors, size = None, 0
    if wanted and (embedding or any(one.encoders for one in sets)):
        encoders = [one.encoder(embedding) for one in sets]
        if len({(encoder.name, encoder.size) for encoder in encoders}) > 1:
            raise InputError(
                "embedding: expected the same text encoder in all directories, received "
                + ", ".join(f"{encoder.name} [{encoder.size}]" for encoder in encoders)
            )
        size = encoders[0].size
        vectors = tuple(
            os.path.join(one.directory, shard.path)
            for one, encoder in zip(sets, encoders, strict=True)
            for shard in encoder.shards[split]
        )
    return _Files(
        tuple(os.path.join(one.directory, shard.path) for one, shard in shards),
        vectors,
        np.array([shard.records for _, shard in shards], np.int64),
        size,
        len(sets[0].class_names or ()),
    )


def _steps(files: _Files, directory: Directories, split: str, batch_size: int) -> int:
    total = int(files.counts.sum())
    if batch_size < 1 or batch_size > total:
        raise InputError(
            f"batch_size: expected 1 to {total}, the images of {split} in {directory}, "
            f"received {batch_size}"
        )
    return total // batch_size


def _windows(
    files: _Files,
    epoch_length: int,
    seed: int,
    start_step: int,
    steps: int,
    window: int,
    repeat: bool,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields shards, the order of their records, the epoch's seed, and the span of places used."""
    epoch, first = start_step // steps, (start_step % steps) * (epoch_length // steps)
    while True:
        random = np.random.default_rng([seed, epoch])
        epoch_seed = random.integers(0, 2**31 - 1, 2, dtype=np.int32)
        begin, group = 0, []
        for shard in random.permutation(len(files.counts)):
            group.append(shard)
            count = int(files.counts[group].sum())
            if count < window and begin + count < epoch_length:
                continue
            # Drawn whether or not the window is used, so that the next one does not depend on it.
            order = random.permutation(count)
            span = max(first - begin, 0), min(epoch_length - begin, count)
            if span[0] < span[1]:
                yield np.array(group), order, epoch_seed, np.array(span)
            begin, group = begin + count, []
            if begin >= epoch_length:
                break
        if not repeat:
            return
        epoch, first = epoch + 1, 0


def _read_window(shards: tf.Tensor, files: _Files) -> tuple[tf.Tensor, tf.Tensor]:
    """The records `[n]` of some shards, and their caption vectors `[n]`, as strings."""
    expected = tf.reduce_sum(tf.gather(tf.constant(files.counts), shards))

    def read(paths: Sequence[str]) -> tf.Tensor:
        dataset = tf.data.TFRecordDataset(
            tf.gather(tf.constant(list(paths)), shards), num_parallel_reads=tf.data.AUTOTUNE
        )
        strings = dataset.batch(expected).get_single_element()
        count = tf.size(strings, out_type=tf.int64)
        with tf.control_dependencies(
            [tf.debugging.assert_equal(count, expected, "data: records are missing from a shard")]
        ):
            return tf.identity(strings)

    images = read(files.images)
    return images, tf.fill(tf.shape(images), "") if files.vectors is None else read(files.vectors)


def _in_order(files: _Files) -> tf.data.Dataset:
    images = tf.data.TFRecordDataset(list(files.images))
    if files.vectors is None:
        return images.map(lambda serialized: (serialized, ""))
    return tf.data.Dataset.zip(images, tf.data.TFRecordDataset(list(files.vectors)))


def _read(
    serialized: tf.Tensor, vectors: tf.Tensor, epoch_seed: tf.Tensor, files: _Files, captions: str
) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
    """Image uint8 `[H, W, 3]`, its seed and its side information; fails on a rotten record."""
    parsed = records.parse(serialized)
    seed = tf.random.experimental.stateless_fold_in(
        epoch_seed, tf.strings.to_hash_bucket_fast(parsed["key"], 2**31 - 1)
    )
    side = _side(parsed, vectors, seed, files, captions)
    return _decode(parsed["image"]), seed, side


def _decode(image: tf.Tensor) -> tf.Tensor:
    decoded = tf.io.decode_image(image, channels=3, expand_animations=False)
    return tf.ensure_shape(decoded, [None, None, 3])


def _side(
    parsed: dict[str, tf.Tensor],
    vectors: tf.Tensor,
    seed: tf.Tensor,
    files: _Files,
    captions: str,
) -> dict[str, tf.Tensor]:
    side = {}
    if files.classes:
        in_range = (parsed["label"] >= 0) & (parsed["label"] < files.classes)
        with tf.control_dependencies([tf.debugging.Assert(in_range, ["label out of range"])]):
            side["label"] = tf.cast(parsed["label"], tf.int32)
    if files.vectors is not None:
        table = _vectors(vectors, files.size)
        if captions == "mean":
            side["embedding"] = _mean(table)
        else:
            count = tf.shape(table)[0]
            # An image without captions has a zero vector, which relates to nothing.
            padded = tf.concat([table, tf.zeros([1, files.size])], axis=0)
            drawn = tf.random.stateless_uniform([], seed, 0, tf.maximum(count, 1), tf.int32)
            side["embedding"] = padded[drawn]
    return side


def _vectors(raw: tf.Tensor, size: int) -> tf.Tensor:
    """Caption vectors float32 `[K, T]` of a record; fails where they are not finite."""
    table = tf.cast(tf.reshape(tf.io.decode_raw(raw, tf.float16), [-1, size]), tf.float32)
    return tf.debugging.check_numerics(table, "caption vectors")


def _mean(table: tf.Tensor) -> tf.Tensor:
    total = tf.reduce_sum(table, axis=0)
    return tf.math.divide_no_nan(total, tf.norm(total))


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # Sharding by file, the default, would change the batch with the number of workers.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options
