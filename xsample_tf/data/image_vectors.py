"""Images in shards -> a trained encoder's vectors beside them, one per image."""

import collections
import dataclasses
import os
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from xsample_tf.arrays import unit_rows
from xsample_tf.data import manifest
from xsample_tf.data.image_encoder import ImageEncoder
from xsample_tf.data.preparation.caption_vectors import check_names
from xsample_tf.data.preparation.journal import Journal
from xsample_tf.data.preparation.shard_writer import ShardWriter, as_input_errors, local
from xsample_tf.data.shards import Shard, read_records
from xsample_tf.errors import InputError
from xsample_tf.progress import Progress

_CHUNK = 64  # Images per call of the encoder.


@as_input_errors()
def add_image_embeddings(
    directory: str | os.PathLike,
    encoder: ImageEncoder,
    *,
    overwrite: bool = False,
    log: Callable[[str], None] = print,
) -> manifest.Dataset:
    """Adds an image encoder's vectors to a data directory, a file of them beside each shard.

    A file is a TFRecord of raw little-endian float16 `[D]` of unit length per image. A vector that
    is not finite, as of an image that cannot be decoded, is stored as zeros, which relate to
    nothing, and counted as "image_embedding_not_finite:NAME". A directory that has the encoder's
    vectors keeps them; a pass that was killed goes on.

    Args:
        directory: The data directory.
        encoder: Called with up to 64 image files.
        overwrite: Replaces the vectors of an encoder of the same name. Defaults to False.
        log: Receives a line, and how far it is where there is no terminal for a bar.

    Raises:
        InputError: Another encoder's vectors under its name, vectors of another shape than
            `[K, size]`, or a shard that cannot be read.

    Example:
        >>> encoder = SavedModelImageEncoder("runs/first/export")
        >>> add_image_embeddings("data/photos", encoder).image_encoders.keys()
        dict_keys(['first'])
    """
    dataset = manifest.read_dataset(local(directory))
    check_names([encoder])
    known = dataset.image_encoders.get(encoder.name)
    if known and not overwrite:
        if (known.handle, known.size) != (encoder.handle, encoder.size):
            raise InputError(
                f"image_encoder: {dataset.directory} has vectors {encoder.name!r} of size "
                f"{known.size} from {known.handle!r}, now size {encoder.size} from "
                f"{encoder.handle!r}; replace them with --overwrite"
            )
        return dataset
    folder = pathlib.Path(dataset.directory, manifest.IMAGE_VECTORS, encoder.name)
    if known:
        del dataset.image_encoders[encoder.name]  # First: it must not name what is gone.
        manifest.write_dataset(dataset)
        shutil.rmtree(folder, ignore_errors=True)
    identity = {"handle": encoder.handle, "size": encoder.size}
    journal = Journal(folder / "embed.jsonl", identity)
    dataset = _with_vectors(dataset, encoder, journal, log)
    manifest.write_dataset(dataset)
    log(f"{'image vectors':<24}{encoder.name}, {encoder.size} values each")
    return dataset


def _with_vectors(
    dataset: manifest.Dataset,
    encoder: ImageEncoder,
    journal: Journal,
    log: Callable[[str], None],
) -> manifest.Dataset:
    """Encodes the shards that the journal lacks; returns the data set with the encoder in it."""
    directory = pathlib.Path(dataset.directory)
    total = sum(dataset.records(split) for split in dataset.splits)
    with Progress(f"image vectors of {encoder.name}", total, "images", log) as progress:
        for split, shards in dataset.splits.items():
            for number, shard in enumerate(shards):
                entry = journal.entries.get(shard.path)
                there = entry and (directory / entry["shard"]["path"]).is_file()
                if not there or entry["images"] != shard.sha256:
                    path = f"{manifest.IMAGE_VECTORS}/{encoder.name}/{split}/{number:05d}.tfrecord"
                    written = _encode_shard(dataset, shard, encoder, path, progress)
                    journal.add(shard.path, written)
                else:
                    progress.advance(shard.records)
    entries = [journal.entries[s.path] for shards in dataset.splits.values() for s in shards]
    rejected = sum(entry["rejected"] for entry in entries)
    of_train = [journal.entries[shard.path] for shard in dataset.splits.get("train", ())]
    mean = np.sum([entry["sum"] for entry in of_train], axis=0)
    count = sum(entry["shard"]["records"] - entry["rejected"] for entry in of_train)
    described = manifest.CaptionVectors(
        name=encoder.name,
        handle=encoder.handle,
        size=encoder.size,
        template=None,
        mean=tuple(float(value) for value in np.atleast_1d(mean / max(count, 1))),
        shards={
            split: tuple(Shard(**journal.entries[shard.path]["shard"]) for shard in shards)
            for split, shards in dataset.splits.items()
        },
    )
    reason = f"image_embedding_not_finite:{encoder.name}"
    counts = collections.Counter(dataset.rejected)
    counts[reason] = rejected
    return dataclasses.replace(
        dataset,
        image_encoders=dataset.image_encoders | {encoder.name: described},
        rejected=dict(+counts),
    )


def _encode_shard(
    dataset: manifest.Dataset,
    shard: Shard,
    encoder: ImageEncoder,
    path: str,
    progress: Progress,
) -> dict:
    """Writes the vectors of a shard's images; returns its entry in the journal."""
    name = dataset.features.image
    writer = ShardWriter(dataset.directory, path)
    total, rejected, waiting = np.zeros(encoder.size), 0, []

    def write() -> None:
        nonlocal total, rejected
        vectors = np.asarray(encoder(waiting), np.float32)
        if vectors.shape != (len(waiting), encoder.size):
            raise InputError(
                f"image_encoder: expected vectors [{len(waiting)}, {encoder.size}], received "
                f"{list(vectors.shape)} from {encoder.handle}"
            )
        finite = np.isfinite(vectors).all(axis=1)
        rejected += int(np.sum(~finite))
        rows = unit_rows(np.where(finite[:, None], vectors, 0)).astype("<f2")
        total += rows.astype(np.float64).sum(axis=0)
        for row in rows:
            writer.write(row.tobytes())
        progress.advance(len(waiting))
        waiting.clear()

    for record in read_records(pathlib.Path(dataset.directory), shard):
        features = tf.train.Example.FromString(record).features.feature
        waiting.append(next(iter(features[name].bytes_list.value), b""))
        if len(waiting) == _CHUNK:
            write()
    if waiting:
        write()
    written = dataclasses.asdict(writer.close())
    images = shard.sha256  # Others under the same name are encoded again.
    return {"shard": written, "images": images, "rejected": rejected, "sum": total.tolist()}
