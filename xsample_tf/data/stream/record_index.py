"""Where each record of a split lies, with its key and label: one pass over the records, kept."""

import collections
import dataclasses
import hashlib
import io
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from xsample_tf.data import manifest, records
from xsample_tf.errors import InputError
from xsample_tf.files import write_atomic
from xsample_tf.progress import Progress

FRAME = 16  # Bytes of a TFRecord beside the record: length, its checksum, and the record's.
_BATCH = 256
_REMEMBERED = 8
_indices: collections.OrderedDict[str, "RecordIndex"] = collections.OrderedDict()


@dataclasses.dataclass(frozen=True, eq=False)
class RecordIndex:
    """The records of a split, N of them, in the order of its shards.

    Attributes:
        keys: uint64 `[N]`, hashes of the keys.
        names: uint64 `[N]`, hashes of the keys' last parts without their endings.
        labels: int32 `[N]`, -1 where there is none.
        lengths: int64 `[N]`, bytes of the records.
    """

    keys: np.ndarray
    names: np.ndarray
    labels: np.ndarray
    lengths: np.ndarray


def name_of(key: str) -> str:
    """Returns the last part of a key, without its ending: what lists of images have for it."""
    return os.path.splitext(key.rpartition("/")[2])[0]


def hash_of(text: str) -> int:
    """Returns 64 bits of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def read_index(
    dataset: manifest.Dataset, split: str, log: Callable[[str], None] = print
) -> RecordIndex:
    """Returns the index of a split; makes it by one pass over its records where there is none.

    It is kept in memory, and in `index/` of the data directory where that can be written.

    Args:
        dataset: The data directory.
        split: "train" or "val".
        log: Receives a line where the pass is made.

    Raises:
        InputError: A shard that cannot be read.
    """
    # Labels are read from the feature that the manifest names.
    content = [str(dataset.features), *(shard.sha256 for shard in dataset.splits[split])]
    digest = hashlib.sha256("".join(content).encode()).hexdigest()[:16]
    path = os.path.join(dataset.directory, manifest.INDEX, f"{split}-{digest}.npz")
    if path not in _indices:
        _indices[path] = _stored(path, dataset.records(split)) or _made(dataset, split, path, log)
        while len(_indices) > _REMEMBERED:
            _indices.popitem(last=False)
    return _indices[path]


def _stored(path: str, count: int) -> RecordIndex | None:
    """Returns an index that was kept, None where there is none, or none that can be read."""
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            arrays = np.load(io.BytesIO(file.read()), allow_pickle=False)
            index = RecordIndex(**{name: arrays[name] for name in arrays.files})
    except (tf.errors.OpError, OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile):
        return None
    return index if len(index.keys) == count else None


def _made(
    dataset: manifest.Dataset, split: str, path: str, log: Callable[[str], None]
) -> RecordIndex:
    """Reads all records once, and keeps what they are where that is possible."""
    count = dataset.records(split)
    log(f"reading the keys and labels of the {count:,} images of {split} in {dataset.directory}")
    keys, names, labels, lengths = [], [], [], []
    with Progress(f"keys of {split}", count, "images", log) as progress:
        for shard in dataset.splits[split]:
            before = len(keys)
            place = os.path.join(dataset.directory, shard.path)
            for parts in _fields(place, shard.records, dataset.features):
                texts = [key.decode("utf-8", "replace") for key in parts["key"]]
                keys += map(hash_of, texts)
                names += [hash_of(name_of(text)) for text in texts]
                labels.append(parts["label"])
                lengths.append(parts["length"])
                progress.advance(len(texts))
            if len(keys) - before != shard.records:
                raise InputError(
                    f"data_dir: expected {shard.records} records, received {len(keys) - before} in "
                    f"{place}; restore that file"
                )
    index = RecordIndex(
        np.array(keys, np.uint64),
        np.array(names, np.uint64),
        np.concatenate(labels).astype(np.int32),
        np.concatenate(lengths).astype(np.int64),
    )
    buffer = io.BytesIO()
    np.savez(buffer, **vars(index))
    try:
        if "://" in path:
            raise OSError("not a local disk")
        pathlib.Path(path).parent.mkdir(exist_ok=True)
        for outdated in pathlib.Path(path).parent.glob(f"{split}-*.npz"):
            outdated.unlink()  # Of records that were fewer.
        write_atomic(pathlib.Path(path), buffer.getvalue())
    except OSError as error:
        log(f"cannot keep them in {os.path.dirname(path)} ({error}): a later run reads them again")
    return index


def _fields(
    path: str, count: int, features: records.FeatureNames
) -> Iterator[dict[str, np.ndarray]]:
    """Yields "key", "label" and "length" of a file's records, by batches."""

    def fields(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = records.parse(batch, features)
        return {
            "key": parsed["key"],
            "label": parsed["label"],
            "length": tf.strings.length(batch),
        }

    stream = tf.data.TFRecordDataset(path).take(count).batch(_BATCH)
    try:
        yield from stream.map(fields, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator()
    except tf.errors.OpError as error:
        raise InputError(
            f"data_dir: cannot read {path} ({' '.join(error.message.split())[:200]}); restore that "
            "file"
        ) from error


def record_lengths(path: str, count: int) -> np.ndarray:
    """Returns the bytes int64 `[count]` of a file's records, by one pass over it.

    Raises:
        InputError: A file that cannot be read.
    """
    stream = tf.data.TFRecordDataset(path).take(count).map(tf.strings.length).batch(4096)
    try:
        found = [np.zeros(0, np.int64), *stream.as_numpy_iterator()]
    except tf.errors.OpError as error:
        raise InputError(f"data_dir: cannot read {path}; restore that file") from error
    return np.concatenate(found).astype(np.int64)
