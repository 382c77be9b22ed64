"""A data directory that is written in a moment and whose answers are known."""

import hashlib
import pathlib

import numpy as np
import tensorflow as tf

from xsample_tf.data import image_files, manifest, records
from xsample_tf.data.shards import Shard

COLORS = 40 + 160 * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]])
SIZE = 8


def write(
    directory,
    train=96,
    val=48,
    labelled=True,
    captioned=True,
    seed=0,
    words="colour number {}",
) -> str:
    """Images of 6 colours: the colour is the class and, all but noise, the caption's vector."""
    directory = pathlib.Path(directory)
    random = np.random.default_rng(seed)
    prototypes = np.eye(SIZE)[: len(COLORS)]
    splits, vectors = {}, {}
    for split, count in (("train", train), ("val", val)):
        rows, tables = [], []
        for i in range(count):
            label = i % len(COLORS)
            noise = random.integers(-25, 25, (20, 24, 3))
            pixels = np.clip(COLORS[label] + noise, 0, 255).astype(np.uint8)
            caption = [words.format(label)] if captioned else []
            key = f"{split}-{i}"
            content = image_files.encode_png(pixels)
            rows.append(records.serialize(content, key, caption, label if labelled else None))
            table = prototypes[label] + random.normal(size=SIZE) * 0.1
            tables.append((table / np.linalg.norm(table)).astype("<f2").tobytes())
        splits[split] = (shard(directory, f"{split}/00000.tfrecord", rows),)
        if captioned:
            path = f"embeddings/toy/{split}/00000.tfrecord"
            vectors[split] = (shard(directory, path, tables),)
    encoder = manifest.CaptionVectors("toy", "toy", SIZE, None, (0.0,) * SIZE, vectors)
    names = tuple(f"color_{i}" for i in range(len(COLORS))) if labelled else None
    manifest.write_dataset(
        manifest.Dataset(
            str(directory),
            splits,
            names,
            int(captioned),
            {"toy": encoder} if captioned else {},
            {},
            "tiny",
        )
    )
    return str(directory)


def shard(directory: pathlib.Path, path: str, rows: list[bytes]) -> Shard:
    file = directory / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for row in rows:
            writer.write(row)
    content = file.read_bytes()
    return Shard(path, len(rows), len(content), hashlib.sha256(content).hexdigest())
