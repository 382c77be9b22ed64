"""Memory and time of joining the rows of one image, for a million rows.

Writes a Parquet file of --rows rows, --captions of them for each image, whose image is --bytes of
random bytes, and lists it in a process of its own each way: rows joined by the hash of their bytes,
by a key, and not at all; as a table and, where the package datasets is installed, as a stream.
Prints a table in Markdown: resident memory while it is listed and after, over that before.

    python benchmarks/grouping.py --rows=1000000
"""

import argparse
import importlib.util
import multiprocessing
import pathlib
import tempfile
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from environment import environment

GROUP = 1_000  # Rows of a row group.
WAYS = {"the hash of their bytes": None, "a key": "id", "nothing: each row a record": "none"}


def write(path: pathlib.Path, rows: int, captions: int, size: int) -> None:
    """Writes the rows, those of an image apart from each other."""
    images = rows // captions
    content = np.random.default_rng(0).integers(0, 256, (images, size), np.uint8)
    schema = pa.schema(
        {
            "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
            "caption": pa.string(),
            "id": pa.string(),
        }
    )
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, GROUP):
            numbers = range(start, min(start + GROUP, rows))
            cells = {
                "image": [{"bytes": content[i % images].tobytes(), "path": None} for i in numbers],
                "caption": [f"a photo that has the number {i:09d}" for i in numbers],
                "id": [f"image-{i % images:09d}" for i in numbers],
            }
            writer.write_table(pa.table(cells, schema))


def resident() -> int:
    """Returns the resident memory of this process in bytes."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096


def list_rows(source: str, key: str | None, results: multiprocessing.Queue) -> None:
    """Lists a source; puts the records, the memory at the peak and after, and the seconds."""
    from xsample_tf.data import sources

    opened = sources.open_source(source, sources.Options(key_column=key))
    before, peak, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.monotonic()
    records = sum(opened.counts.values())
    seconds = time.monotonic() - start
    done.set()
    watcher.join()
    results.put((records, peak - before, resident() - before, seconds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--captions", type=int, default=5, help="rows of each image")
    parser.add_argument("--bytes", type=int, default=1_000, help="of an image")
    arguments = parser.parse_args()
    print("| source | rows joined by | records | peak, MB | after, MB | s |")
    print("|---|---|---:|---:|---:|---:|", flush=True)
    context = multiprocessing.get_context("spawn")
    kinds = ["table"] + ["hf"] * bool(importlib.util.find_spec("datasets"))
    with tempfile.TemporaryDirectory() as folder:
        sizes = arguments.rows, arguments.captions, arguments.bytes
        write(pathlib.Path(folder, "train.parquet"), *sizes)
        for kind in kinds:
            for way, key in WAYS.items():
                results = context.Queue()
                process = context.Process(target=list_rows, args=(f"{kind}:{folder}", key, results))
                process.start()
                records, peak, after, seconds = results.get()
                process.join()
                print(
                    f"| {kind} | {way} | {records:,} | {peak / 1e6:,.0f} | {after / 1e6:,.0f} | "
                    f"{seconds:.0f} |",
                    flush=True,
                )
    print(f"\n{arguments.rows:,} rows, {arguments.captions} of each image.")
    print(*environment(), sep="\n")


if __name__ == "__main__":
    main()
