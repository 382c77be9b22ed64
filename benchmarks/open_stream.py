"""Seconds and memory to open the stream at any step of a data set of 12 million pairs.

Writes a data directory of that many pairs: 11,719 shards of 1,024 records and their caption
vectors, each a link to one file, so that it takes little room, with a whole `dataset.json`. Every
opening is in a process of its own, from the call of `data.load` to the first batch, decoded. Prints
a table in Markdown, and exits 1 where an opening takes more than --limit seconds.

    python benchmarks/open_stream.py
"""

import argparse
import hashlib
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
from environment import environment

from xsample_tf import data
from xsample_tf.data import image_files, manifest, records
from xsample_tf.data.shards import Shard

SHARDS, RECORDS, SIZE, BATCH = 11_719, 1024, 384, 1024


def write_directory(directory: pathlib.Path) -> None:
    """Writes the synthetic data directory."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    splits = {}
    for folder in ("train", "embeddings/text/train"):
        (directory / folder).mkdir(parents=True)
        first = directory / folder / f"{0:05d}.tfrecord"
        with tf.io.TFRecordWriter(str(first)) as writer:
            for i in range(RECORDS):
                if folder == "train":
                    pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
                    writer.write(
                        records.serialize(image_files.encode_png(pixels), f"{i}", ["a text"])
                    )
                else:
                    writer.write(random.normal(size=SIZE).astype("<f2").tobytes())
        for number in range(1, SHARDS):
            os.link(first, directory / folder / f"{number:05d}.tfrecord")
        size, digest = first.stat().st_size, hashlib.sha256(first.read_bytes()).hexdigest()
        splits[folder] = tuple(
            Shard(f"{folder}/{number:05d}.tfrecord", RECORDS, size, digest)
            for number in range(SHARDS)
        )
    encoder = manifest.CaptionVectors(
        "text", "text", SIZE, None, (0.0,) * SIZE, {"train": splits["embeddings/text/train"]}
    )
    manifest.write_dataset(
        manifest.Dataset(
            str(directory), {"train": splits["train"]}, None, 1, {"text": encoder}, {}, "synthetic"
        )
    )


def open_at(directory: str, step: int) -> None:
    """Opens the stream and prints seconds to the first batch, and the process's peak memory."""
    import tensorflow as tf

    tf.constant(0)  # TensorFlow's own start is not the stream's.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    stream = data.load(directory, "train", BATCH, data.views.SimCLR(32), start_step=step)
    views, _ = next(iter(stream))
    seconds = time.monotonic() - start
    assert views.shape[0] == BATCH
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(seconds, (peak - before) * 1024)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=float, default=60, help="seconds, at most")
    parser.add_argument("--step", help=argparse.SUPPRESS, type=int)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.directory:
        open_at(arguments.directory, arguments.step)
        return 0
    total = SHARDS * RECORDS
    epoch = total // BATCH
    steps = [0, *np.random.default_rng(0).integers(0, 100 * epoch, 4).tolist()]
    print(f"{total:,} pairs in {SHARDS:,} shards; batch {BATCH}, {epoch:,} steps an epoch.\n")
    print("| step | of epoch | seconds | memory, MB |\n|---:|---:|---:|---:|", flush=True)
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        write_directory(pathlib.Path(folder))
        for step in steps:
            command = [sys.executable, __file__, f"--directory={folder}", f"--step={step}"]
            lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            seconds, memory = map(float, lines.split())
            slowest = max(slowest, seconds)
            print(f"| {step:,} | {step / epoch:.2f} | {seconds:.1f} | {memory / 1e6:,.0f} |")
    print()
    print(*environment(), sep="\n")
    return int(slowest > arguments.limit)


if __name__ == "__main__":
    sys.exit(main())
