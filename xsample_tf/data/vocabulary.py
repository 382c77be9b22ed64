"""The vocabulary of a data directory: tokens learned from its captions, for text towers.

DIR/vocabulary.txt      a token a line, in the order of their ids; UTF-8
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator

import tensorflow as tf

from xsample_tf import files
from xsample_tf.data import manifest
from xsample_tf.data.shards import Shard, read_records
from xsample_tf.errors import InputError
from xsample_tf.progress import Progress

FILE = "vocabulary.txt"
# Captions that a vocabulary is learned from, at most: the tokens of more are the same.
MOST_CAPTIONS = 1 << 20

# Of batches of captions and a size: the tokens in the order of their ids, no more than that.
Learn = Callable[[Iterator[list[str]], int], list[str]]


def add_vocabulary(
    directory: str | os.PathLike,
    size: int,
    learn: Learn,
    *,
    overwrite: bool = False,
    log: Callable[[str], None] = print,
) -> manifest.Dataset:
    """Learns a vocabulary from the training captions of a data directory, and keeps it there.

    Of many captions a million are taken, from shards evenly spread. A directory that has a
    vocabulary keeps it.

    Args:
        directory: The data directory.
        size: Tokens of the vocabulary, at most.
        learn: What learns it, as `text.learn_vocabulary`.
        overwrite: Replaces the one that is there; runs that use it cannot go on.
            Defaults to False.
        log: Receives a line. Defaults to `print`.

    Raises:
        InputError: There are no captions, or a larger vocabulary is there.

    Example:
        >>> add_vocabulary("data/photos", 8192, text.learn_vocabulary)
    """
    dataset = manifest.read_dataset(directory)
    if not dataset.captions_per_image:
        raise InputError(f"vocabulary: expected captions in {directory}, received none")
    if dataset.vocabulary:
        known = len(read_vocabulary(dataset))
        if known <= size and not overwrite:
            log(f"{'vocabulary':<24}{known:,} tokens, as before")
            return dataset
        if not overwrite:
            raise InputError(
                f"vocabulary: {directory} has one of {known} tokens, received {size}; runs that "
                "use it could not go on: replace it with --overwrite"
            )
    tokens = learn(_captions(dataset, log), size)
    content = "".join(f"{token}\n" for token in tokens).encode()
    files.write_atomic(pathlib.Path(directory, FILE), content)
    dataset = dataclasses.replace(dataset, vocabulary=hashlib.sha256(content).hexdigest())
    manifest.write_dataset(dataset)
    log(f"{'vocabulary':<24}{len(tokens):,} tokens")
    return dataset


def read_vocabulary(dataset: manifest.Dataset) -> list[str]:
    """Returns the tokens of a data directory's vocabulary, in the order of their ids.

    Raises:
        InputError: It has none, or another one than `dataset.json` says.
    """
    if not dataset.vocabulary:
        raise InputError(
            f"vocabulary: {dataset.directory} has none; learn it by: python tools/prepare_data.py "
            f"--output={dataset.directory} --vocabulary=8192"
        )
    path = os.path.join(dataset.directory, FILE)
    try:
        content = files.read_file(path)
    except OSError as error:
        raise InputError(f"vocabulary: cannot read {path} ({error})") from error
    if hashlib.sha256(content).hexdigest() != dataset.vocabulary:
        raise InputError(f"vocabulary: {path} is not what was learned; restore that file")
    return content.decode().splitlines()


def _captions(dataset: manifest.Dataset, log: Callable[[str], None]) -> Iterator[list[str]]:
    """Yields the captions of shards that are evenly spread, a list a shard, up to the most."""
    shards = _spread(dataset.splits["train"])
    name, taken = dataset.features.captions, 0
    with Progress("captions read", len(shards), "shards", log) as progress:
        for shard in shards:
            captions = []
            for record in read_records(pathlib.Path(dataset.directory), shard):
                features = tf.train.Example.FromString(record).features.feature
                stored = features[name].bytes_list.value if name in features else ()
                captions += [text.decode("utf-8", "replace") for text in stored]
            yield captions
            taken += len(captions)
            progress.advance(1)
            if taken >= MOST_CAPTIONS:
                return


def _spread(shards: tuple[Shard, ...]) -> list[Shard]:
    """The shards so ordered that any first ones of them are spread over all."""
    order = sorted(range(len(shards)), key=lambda place: int(f"{place:032b}"[::-1], 2))
    return [shards[place] for place in order]
