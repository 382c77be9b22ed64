"""Images a second through `embedding.embed` beside those of the encoder alone.

The encoder alone gets batches that are ready in memory; `embed` reads and decodes JPEG files,
and writes shards and keys. Both run in turns, the first turn of each uncounted. Prints a table in
Markdown, and exits 1 where the ratio of the medians is under --least.

    python benchmarks/embed.py
    python benchmarks/embed.py --images=FOLDER --count=2000 --batch_size=256
"""

import argparse
import os
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf
from environment import environment

from xsample_tf import embedding, files, models
from xsample_tf.evaluation import ForeignModel
from xsample_tf.export import Exported

WIDTH, HEIGHT = 500, 375  # Pixels of the generated photos.


def write_photos(folder: pathlib.Path, count: int, images: str | None) -> None:
    """Writes so many JPEG files: links to those of a folder again and again, or generated ones."""
    originals = [os.path.abspath(path) for path in files.walk(images)] if images else []
    if not originals:
        random = np.random.default_rng(0)
        for number in range(min(count, 100)):
            coarse = random.integers(0, 256, (1, HEIGHT // 12, WIDTH // 12, 3))
            smooth = tf.image.resize(coarse, [HEIGHT, WIDTH], "bicubic")[0]
            pixels = np.clip(smooth + random.normal(0, 6, [HEIGHT, WIDTH, 3]), 0, 255)
            path = folder.parent / f"photo-{number}.jpg"
            jpeg = tf.io.encode_jpeg(tf.cast(pixels, tf.uint8), quality=90)
            path.write_bytes(jpeg.numpy())
            originals.append(str(path))
    folder.mkdir()
    for number in range(count):
        os.symlink(originals[number % len(originals)], folder / f"{number:06d}.jpg")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="resnet50", help="a name that tools/train.py knows")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--count", type=int, default=2000, help="images")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--images", help="a folder of JPEG files; else they are generated")
    parser.add_argument("--least", type=float, default=0.95, help="ratio, at least")
    arguments = parser.parse_args()
    size, count, batch_size = arguments.image_size, arguments.count, arguments.batch_size
    model = models.backbone(arguments.backbone, image_size=size)
    batch = tf.random.uniform([batch_size, size, size, 3], seed=0)
    rates: dict[str, list[float]] = {"encoder": [], "embed": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        write_photos(folder / "photos", count, arguments.images)
        (folder / "weights").write_bytes(b"random")
        encoder = Exported(folder / "weights", {}, None, ForeignModel(model))
        images = embedding.FolderImages(folder / "photos")

        def alone(turn: int) -> int:
            del turn
            steps = -(-count // batch_size)
            for _ in range(steps):
                np.asarray(encoder(batch))
            return steps * batch_size

        def whole(turn: int) -> int:
            output = folder / f"vectors-{turn}"
            described = embedding.embed(
                encoder, images, output, size, batch_size=batch_size, log=lambda line: None
            )
            assert described["rows"] == count, described["left_out"]
            return count

        for turn in range(arguments.turns + 1):
            for name, function in (("encoder", alone), ("embed", whole)):
                start = time.monotonic()
                done = function(turn)
                if turn:
                    rates[name].append(done / (time.monotonic() - start))
                    print(f"turn {turn}, {name}: {rates[name][-1]:.2f} images/s", file=sys.stderr)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = medians["embed"] / medians["encoder"]
    print(f"{count:,} images, {arguments.backbone} at {size}, batches of {batch_size}.\n")
    print("| | images/s, median | slowest | fastest |\n|---|---:|---:|---:|")
    for name, values in rates.items():
        print(f"| {name} | {medians[name]:.2f} | {min(values):.2f} | {max(values):.2f} |")
    print(f"\nratio {ratio:.3f}\n")
    print(*environment(), sep="\n")
    return int(ratio < arguments.least)


if __name__ == "__main__":
    sys.exit(main())
