"""A subset of a split, opened for reading."""

import dataclasses
import os
from collections.abc import Callable

import numpy as np

from xsample_tf.data import manifest
from xsample_tf.data.stream.record_index import FRAME, RecordIndex, read_index, record_lengths
from xsample_tf.data.stream.shard_reader import Directories, Parts, Shards, open_shards
from xsample_tf.data.stream.subset import Subset, chosen_records, fraction_runs
from xsample_tf.data.text_encoder import TextEncoder
from xsample_tf.errors import InputError


def open_subset(
    directories: Directories,
    split: str,
    embedding: str | None,
    vectors: bool = True,
    subset: Subset | None = None,
    image_embedding: str | None = None,
) -> Shards:
    """Opens the shards of a split, as `open_shards` does, with a subset of their records.

    Args:
        directories: As for `open_shards`.
        split: As for `open_shards`.
        embedding: As for `open_shards`.
        vectors: As for `open_shards`.
        subset: Which of the images; None for all.
        image_embedding: As for `open_shards`.

    Raises:
        InputError: As for `open_shards`, and where the subset is empty or needs what is not there.
    """
    shards = open_shards(directories, split, embedding, vectors, image_embedding)
    if subset is None:
        return shards
    if subset.per_class and not shards.classes:
        raise InputError(f"per_class: expected labels, received none in {shards.where}")
    if subset.needs_index:
        index = _index(directories, split)
        parts = _records(shards, chosen_records(index, subset, shards.where), index.lengths)
        counts = (1,) * len(parts.shard)
    else:
        runs = np.array(fraction_runs(shards.counts, subset), np.int64).reshape(-1, 3)
        parts, counts = Parts(runs[:, 0], runs[:, 1]), tuple(map(int, runs[:, 2]))
    if not counts:
        raise InputError(
            f"train_fraction: expected a share with an image in it of the {shards.total:,} of "
            f"{shards.where}, received {subset.fraction:g}"
        )
    return dataclasses.replace(
        shards, where=f"the subset of {shards.where}", parts=parts, counts=counts
    )


def open_with_encoder(
    directories: Directories,
    split: str,
    embedding: str | TextEncoder | None,
    vectors: bool = True,
    subset: Subset | None = None,
    image_embedding: str | None = None,
) -> tuple[Shards, TextEncoder | None]:
    """Opens the shards, and returns with them the encoder if there is one in place of vectors."""
    if embedding is None or isinstance(embedding, str):
        return open_subset(directories, split, embedding, vectors, subset, image_embedding), None
    return open_subset(directories, split, None, False, subset, image_embedding), embedding


def read_labels(
    directories: Directories,
    split: str,
    subset: Subset | None = None,
    log: Callable[[str], None] = print,
) -> np.ndarray:
    """Returns the labels int32 `[M]` of the images of a split, -1 where there is none.

    Reads the keys and labels of all records once, and keeps them in the data directory.

    Args:
        directories: What `prepare` wrote, or several of them.
        split: "train" or "val".
        subset: Which of the images; None for all.
        log: Receives a line where all records have to be read.

    Raises:
        InputError: As for `open_subset`.
    """
    shards = open_shards(directories, split, None, vectors=False)
    index = _index(directories, split, log)
    if subset is None:
        return index.labels
    if subset.needs_index:
        return index.labels[chosen_records(index, subset, shards.where)]
    firsts = np.cumsum([0, *shards.counts])
    runs = fraction_runs(shards.counts, subset)
    parts = [index.labels[firsts[shard] + begin :][:count] for shard, begin, count in runs]
    return np.concatenate([index.labels[:0], *parts])


def _index(directories: Directories, split: str, log: Callable[[str], None] = print) -> RecordIndex:
    """The indices of all directories as one."""
    several = [directories] if isinstance(directories, str | os.PathLike) else directories
    each = [vars(read_index(manifest.read_dataset(one), split, log)) for one in several]
    return RecordIndex(**{name: np.concatenate([one[name] for one in each]) for name in each[0]})


def _records(shards: Shards, chosen: np.ndarray, lengths: np.ndarray) -> Parts:
    """Each of the chosen records as a part of its own."""
    firsts = np.cumsum([0, *shards.counts])
    shard = np.searchsorted(firsts, chosen, "right") - 1
    of_images = _places(lengths, firsts)[chosen]
    if not shards.vectors:
        return Parts(shard, chosen - firsts[shard], of_images)
    of_vectors = np.zeros(firsts[-1], np.int64)
    for number in np.unique(shard):
        first, last = firsts[number : number + 2]
        of_vectors[first:last] = record_lengths(shards.vectors[number], last - first)
    of_vectors = _places(of_vectors, firsts)[chosen]
    return Parts(shard, chosen - firsts[shard], of_images, of_vectors)


def _places(lengths: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """Bytes int64 `[N, 2]` before each record in its file, and its own."""
    ends = np.cumsum(lengths + FRAME)
    begin_of_file = np.repeat(np.concatenate([[0], ends])[firsts[:-1]], np.diff(firsts))
    # A checksum is behind the record.
    return np.stack([ends - lengths - 4 - begin_of_file, lengths], axis=1)
