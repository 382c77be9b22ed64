"""Small sources, an encoder, and what a data directory holds."""

import csv
import pathlib

import numpy as np
import tensorflow as tf

from xsample_tf.data import image_files, manifest, prepare, records, sources


class Encoder:
    """Vectors that tell captions apart; counts what it is asked for."""

    size = 5

    def __init__(self, name="toy", handle="toy"):
        self.name, self.handle = name, handle
        self.asked: list[str] = []

    def __call__(self, captions):
        self.asked += captions
        return np.array([self.vector(caption) for caption in captions], np.float32)

    @staticmethod
    def vector(caption: str) -> np.ndarray:
        if caption in ("not finite", "zero"):
            return np.full(5, np.nan if caption == "not finite" else 0.0)
        vector = np.random.default_rng(list(caption.encode())).normal(size=5)
        return vector / np.linalg.norm(vector)


def write_png(path: pathlib.Path, shade: int) -> None:
    pixels = np.full((8, 8, 3), shade % 256, np.uint8)
    pixels[0, 0] = shade // 256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image_files.encode_png(pixels))


def table(directory: pathlib.Path, rows: list[tuple], header=("image", "caption")) -> str:
    with open(directory / "t.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return f"table:{directory}/t.csv"


def contents(dataset: manifest.Dataset) -> dict[str, dict[str, dict]]:
    """Reads a data directory: by split and key the image, captions, label, and vectors."""
    found = {}
    for split, shards in dataset.splits.items():
        found[split] = {}
        for shard in shards:
            stored = tf.data.TFRecordDataset(f"{dataset.directory}/{shard.path}")
            rows = [{k: v.numpy() for k, v in records.parse(x).items()} for x in stored]
            for name, encoder in dataset.encoders.items():
                path = f"{dataset.directory}/embeddings/{name}/{shard.path}"
                for row, raw in zip(rows, tf.data.TFRecordDataset(path), strict=True):
                    row[name] = np.frombuffer(raw.numpy(), "<f2").reshape(-1, encoder.size)
            assert len(rows) == shard.records
            found[split] |= {row["key"].decode(): row for row in rows}
        assert len(found[split]) == dataset.records(split)
    return found


def all_bytes(directory: str | pathlib.Path) -> dict[str, bytes]:
    """Returns every file but the journals, whose lines are in order of work."""
    directory = pathlib.Path(directory)
    files = (path for path in directory.rglob("*") if path.is_file() and path.suffix != ".jsonl")
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def quiet(line: str) -> None:
    """Takes the place of print."""


def run(source, output, encoders=(), **arguments) -> manifest.Dataset:
    options = sources.Options(**arguments.pop("options", {}))
    made = prepare(source, output, encoders, options=options, log=quiet, **arguments)
    assert manifest.read_dataset(output) == made
    return made
