"""An export run by TFLite against the same export run by TensorFlow, on one core.

    python benchmarks/tflite.py --model=runs/photos --images=photos

Converts the signature `embed_pixels` and embeds photos by both, one at a time, in turns. Prints a
table in Markdown: the largest difference, the size, and milliseconds an image (the median of the
rounds, each the median of its images). Without --images the pixels are random.
"""

import argparse
import os
import pathlib
import statistics
import sys
import time

# Before TensorFlow is imported, as the tools do.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from environment import environment

from xsample_tf.data import image_files, views
from xsample_tf.export import find_saved_model, load_saved_model
from xsample_tf.files import walk

SIGNATURE = "embed_pixels"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a run or an export")
    parser.add_argument("--images", help="folder of photos; random pixels without it")
    parser.add_argument("--count", type=int, default=50, help="images of a round")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    arguments = parser.parse_args()

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    path = find_saved_model(arguments.model)
    model = load_saved_model(path)  # Owns the variables: keep it.
    embed = model.signatures[SIGNATURE]
    converter = tf.lite.TFLiteConverter.from_saved_model(str(path), signature_keys=[SIGNATURE])
    content = converter.convert()
    interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
    run = interpreter.get_signature_runner(SIGNATURE)
    side = embed.structured_input_signature[1]["pixels"].shape[1]
    images = list(pixels(arguments.images, arguments.count, side))

    programs = {
        "TensorFlow": lambda image: embed(pixels=tf.constant(image))["embedding"].numpy(),
        "TFLite": lambda image: run(pixels=image)["embedding"],
    }
    vectors = {
        name: np.concatenate([of(image) for image in images]) for name, of in programs.items()
    }
    times = {name: [] for name in programs}
    for _ in range(arguments.rounds):
        for name, of in programs.items():
            times[name].append(statistics.median(seconds(of, image) for image in images))
    sizes = {"TensorFlow": folder_size(path), "TFLite": len(content)}
    print("\n".join(environment()))
    print(f"\n{len(images)} images of {side} pixels, one at a time on one core.\n")
    print("| program | ms an image | of each round | MB |\n|---|---:|---|---:|")
    for name, rounds in times.items():
        each = ", ".join(f"{1000 * value:.2f}" for value in rounds)
        median = 1000 * statistics.median(rounds)
        print(f"| {name} | {median:.2f} | {each} | {sizes[name] / 1e6:.1f} |")
    difference = np.abs(vectors["TFLite"] - vectors["TensorFlow"]).max()
    largest = np.abs(vectors["TensorFlow"]).max()
    print(f"\nlargest difference {difference:.1e}, of values up to {largest:.2f}")
    sys.stdout.flush()


def pixels(folder: str | None, count: int, side: int):
    """Yields images uint8 [1, S, S, 3], photos in the evaluation view."""
    if folder is None:
        random = np.random.default_rng(0)
        yield from random.integers(0, 256, (count, 1, side, side, 3), np.uint8)
        return
    view = views.Evaluation(side)
    for path in list(walk(folder))[:count]:
        image, _ = image_files.normalize(pathlib.Path(path).read_bytes())
        decoded = tf.io.decode_image(image, channels=3, expand_animations=False)
        yield np.round(255 * view(decoded, tf.zeros([2], tf.int32)).numpy()).astype(np.uint8)


def seconds(of, image: np.ndarray) -> float:
    start = time.perf_counter()
    of(image)
    return time.perf_counter() - start


def folder_size(path: pathlib.Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


if __name__ == "__main__":
    main()
