"""Holds the files of a data directory against what `dataset.json` says of them."""

import collections
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from xsample_tf.data import manifest
from xsample_tf.data.preparation.shard_writer import local
from xsample_tf.data.shards import Shard
from xsample_tf.data.sources.byte_ranges import record_ranges
from xsample_tf.errors import InputError


def check(
    directory: str | os.PathLike, threads: int | None = None, log: Callable[[str], None] = print
) -> list[str]:
    """Reads every shard and every file of caption vectors, and compares size, checksum and count.

    Args:
        directory: A data directory.
        threads: That read; None is one per core.
        log: Receives the table, and a line for each file that is at fault.

    Returns:
        What is wrong, a line per file: "missing", "short" (cut), "changed" (other bytes) or
        "miscounted" (other records than `dataset.json` says, or than the images beside).

    Raises:
        InputError: no `dataset.json`, or a malformed one.

    Example:
        >>> check("data/photos")
        ['missing train/00003.tfrecord']
    """
    root = local(directory)
    dataset = manifest.read_manifest(root)
    groups = _groups(dataset)
    faults = _file_faults(root, groups, threads)
    for group, text in [*_count_faults(dataset), *_class_faults(dataset)]:
        faults[group].append(text)
    for group, shards in groups.items():
        count = sum(shard.records for shard in shards)
        verdict = f"{len(faults[group])} at fault" if faults[group] else "sound"
        log(f"{group:<40}{len(shards):>8,} files{count:>14,} records  {verdict}")
    lines = [text for texts in faults.values() for text in texts]
    for line in lines:
        log(line)
    return lines


def _groups(dataset: manifest.Dataset) -> dict[str, tuple[Shard, ...]]:
    """Returns the files by what they are: a split's images, or an encoder's vectors of a split."""
    groups = dict(dataset.splits)
    for name, encoder in dataset.encoders.items():
        groups |= {f"embeddings/{name}/{split}": files for split, files in encoder.shards.items()}
    for name, encoder in dataset.image_encoders.items():
        folder = f"image_embeddings/{name}"
        groups |= {f"{folder}/{split}": files for split, files in encoder.shards.items()}
    return groups


def _file_faults(
    root: pathlib.Path, groups: dict[str, tuple[Shard, ...]], threads: int | None
) -> dict[str, list[str]]:
    """Reads all files; returns what is wrong with them, by group."""
    faults: dict[str, list[str]] = collections.defaultdict(list)
    jobs = [(group, shard) for group, shards in groups.items() for shard in shards]
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        found = pool.map(lambda job: _fault(root, job[1]), jobs)
        for (group, _), fault in zip(
            jobs, tqdm(found, "files", len(jobs), disable=None), strict=True
        ):
            faults[group] += [fault] if fault else []
    return faults


def _count_faults(dataset: manifest.Dataset) -> Iterator[tuple[str, str]]:
    """Yields group and text for vectors that are not record for record beside the images."""
    for name, encoder in dataset.encoders.items():
        for split, shards in dataset.splits.items():
            vectors = encoder.shards.get(split, ())
            if [shard.records for shard in vectors] != [shard.records for shard in shards]:
                group = f"embeddings/{name}/{split}"
                yield group, f"miscounted {group}: other records than {split} has"


def _class_faults(dataset: manifest.Dataset) -> Iterator[tuple[str, str]]:
    """Yields group and text for class vectors that cannot be used."""
    for name in dataset.encoders if dataset.class_names else ():
        try:
            dataset.class_embeddings(name)
        except InputError as error:
            yield name, f"changed embeddings/{name}/classes.npy: {error}"


def _fault(root: pathlib.Path, shard: Shard) -> str | None:
    """Returns what is wrong with a file, or None."""
    path = root / shard.path
    try:
        size = path.stat().st_size
        if size < shard.bytes:
            return f"short {shard.path}: {size:,} of {shard.bytes:,} bytes"
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return f"missing {shard.path}"
    except OSError as error:
        return f"unreadable {shard.path}: {error.strerror}"
    if size != shard.bytes or digest != shard.sha256:
        return f"changed {shard.path}: other bytes than were written"
    count = len(record_ranges(str(path))[0])
    if count != shard.records:
        return f"miscounted {shard.path}: {count:,} records, dataset.json says {shard.records:,}"
    return None
