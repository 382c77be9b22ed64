"""View pairs a second from JPEGs in shards: xsample_tf and what users would use instead.

Two 224x224 views by SimCLR's policy, batches of 256 in float32. The programs take turns, each with
all cores:

- xsample_tf: `data.load` from shards on disk;
- simclr tf2: the operations of google-research/simclr's tf2 input, written anew, from those shards;
- albumentations: with OpenCV, a worker process for each core, in the environment --peer_python
  (pip install albumentations opencv-python-headless); left out without it.

    python benchmarks/input.py --images=FOLDER_OF_JPEGS --peer_python=OTHER_ENVIRONMENT/bin/python

Prints tables in Markdown: pairs a second; core-milliseconds of each stage; what is left where an
accelerator does the colour operations; cores that an A100 needs at 1,050 pairs a second.
"""

import argparse
import csv
import os
import pathlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

# Both before TensorFlow is imported, as the tools do.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
from environment import environment
from PIL import Image

from xsample_tf import data
from xsample_tf.data import records, views
from xsample_tf.data.views import decode, geometry

SIZE, BATCH, IMAGES = 224, 256, 512
A100 = 1050  # Pairs a second that it trains on.
TURN = 6  # Batches of a turn, after four that are not timed: XLA compiles meanwhile.


def write_data(images: list[pathlib.Path], size: tuple[int, int], folder: pathlib.Path) -> None:
    """JPEGs of that size, each other ones, quality 90, and a data directory of them."""
    jpegs = folder / "jpegs"
    jpegs.mkdir()
    table = folder / "table.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption"])
        for number in range(IMAGES):
            again, which = divmod(number, len(images))
            image = Image.open(images[which]).convert("RGB")
            if image.width < image.height:
                image = image.transpose(Image.Transpose.ROTATE_90)
            box = (again, again, image.width, image.height)
            path = jpegs / f"{number:04d}.jpg"
            image.resize(size, Image.Resampling.LANCZOS, box=box).save(path, quality=90)
            rows.writerow([path, "a picture"])
    options = data.SourceOptions(validation_fraction=0)
    data.prepare(f"table:{table}", str(folder / "data"), options=options, log=lambda line: None)


def rate(dataset: tf.data.Dataset) -> float:
    """Pairs a second of a turn."""
    batches = iter(dataset)
    for _ in range(4):
        next(batches)
    start = time.perf_counter()
    for _ in range(TURN):
        next(batches)
    return TURN * BATCH / (time.perf_counter() - start)


def ours(folder: pathlib.Path, blur: bool) -> float:
    return rate(data.load(str(folder / "data"), "train", BATCH, views.SimCLR(SIZE, blur=blur)))


def simclr(folder: pathlib.Path, blur: bool) -> float:
    """Like that project's tf2 input and, with blur, the batch-wise blur of its training step."""
    uniform = tf.random.uniform

    def jitter(image: tf.Tensor) -> tf.Tensor:
        changes = [
            lambda x: x * uniform([], 0.2, 1.8),
            lambda x: tf.image.random_contrast(x, 0.2, 1.8),
            lambda x: tf.image.random_saturation(x, 0.2, 1.8),
            lambda x: tf.image.random_hue(x, 0.2),
        ]
        order = tf.random.shuffle(tf.range(4))
        for step in range(4):
            branches = [lambda x=image, change=change: change(x) for change in changes]
            image = tf.clip_by_value(tf.switch_case(order[step], branches), 0.0, 1.0)
        return image

    def view(image: tf.Tensor) -> tf.Tensor:
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.shape(image),
            tf.zeros([1, 0, 4]),
            min_object_covered=0.1,
            aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=(0.08, 1.0),
            use_image_if_no_bounding_boxes=True,
        )
        part = tf.image.resize(tf.slice(image, begin, size), [SIZE, SIZE], "bicubic")
        part = tf.image.random_flip_left_right(part)
        part = tf.cond(uniform([]) < 0.8, lambda: jitter(part), lambda: part)
        gray = tf.cond(
            uniform([]) < 0.2,
            lambda: tf.repeat(tf.image.rgb_to_grayscale(part), 3, axis=-1),
            lambda: part,
        )
        return tf.ensure_shape(tf.clip_by_value(gray, 0.0, 1.0), [SIZE, SIZE, 3])

    def pair(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = records.parse(record)
        image = tf.image.convert_image_dtype(decode.decode_image(parsed["image"]), tf.float32)
        return view(image), view(image)

    def blurred(images: tf.Tensor) -> tf.Tensor:
        radius = SIZE // 10 // 2
        distance = tf.range(-radius, radius + 1, dtype=tf.float32)
        weights = tf.exp(-tf.square(distance / uniform([], 0.1, 2.0)) / 2)
        kernel = tf.repeat((weights / tf.reduce_sum(weights))[:, None, None, None], 3, axis=2)
        result = tf.nn.depthwise_conv2d(images, kernel, [1] * 4, "SAME")
        result = tf.nn.depthwise_conv2d(result, tf.transpose(kernel, [1, 0, 2, 3]), [1] * 4, "SAME")
        chosen = uniform([BATCH, 1, 1, 1]) < 0.5
        return tf.clip_by_value(tf.where(chosen, result, images), 0.0, 1.0)

    files = sorted(str(file) for file in (folder / "data" / "train").glob("*.tfrecord"))
    dataset = tf.data.TFRecordDataset(files).shuffle(IMAGES).repeat()
    dataset = dataset.map(pair, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH)
    if blur:
        dataset = dataset.map(lambda one, two: (blurred(one), blurred(two)))
    return rate(dataset.prefetch(tf.data.AUTOTUNE))


class Albumentations:
    """The peer's process, which works whenever it is told to."""

    def __init__(self, python: str, folder: pathlib.Path, *options: str):
        program = pathlib.Path(__file__).with_name("input_albumentations.py")
        given = [f"--folder={folder / 'jpegs'}", f"--batch_size={BATCH}"]
        self._process = subprocess.Popen(
            [python, str(program), *given, f"--workers={os.cpu_count()}", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.versions = self._answer()

    def __call__(self, folder: pathlib.Path, blur: bool) -> float:
        """Pairs a second of a turn."""
        del folder
        self._process.stdin.write(f"{TURN * BATCH} {int(blur)}\n")
        self._process.stdin.flush()
        return TURN * BATCH / float(self._answer())

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the peer's process ended; its own message stands above")
        return line.strip()


def stages(folder: pathlib.Path) -> list[tuple[str, float]]:
    """Milliseconds of one core for a pair, by what each stage adds."""
    contents = [file.read_bytes() for file in sorted((folder / "jpegs").glob("*.jpg"))[:128]]
    source = tf.data.Dataset.from_tensor_slices((contents, tf.range(len(contents))))
    source = source.map(lambda content, number: (content, tf.stack([number, 0])))
    decode = views.SimCLR(SIZE).decode
    decoded = source.map(lambda content, seed: (decode(content, seed), seed)).cache()

    def seconds(dataset: tf.data.Dataset) -> float:
        options = tf.data.Options()
        options.threading.private_threadpool_size = 1
        options.autotune.enabled = False
        elements = iter(dataset.repeat().with_options(options))
        turns = []
        for _ in range(4):
            start = time.perf_counter()
            for _ in contents:
                next(elements)
            turns.append(1000 * (time.perf_counter() - start) / len(contents))
        return min(turns[1:])  # The first one compiles.

    def crop(image: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
        draws = tf.random.stateless_uniform([2, geometry.WINDOW_DRAWS], seed)
        windows = geometry.random_windows(*tf.unstack(tf.shape(image)[:2]), draws, 0.08)
        return [geometry.crop(image, window)[0, 0] for window in tf.unstack(windows)]

    nothing = seconds(source.map(lambda content, seed: seed))
    steps = [
        (
            "decode",
            seconds(source.map(lambda content, seed: decode(content, seed)[0, 0])),
        ),
        ("draw windows, crop", seconds(decoded.map(crop))),
        ("resize, flip, as uint8", seconds(decoded.map(views.SimCLR(SIZE).crops))),
        (
            "grey, as float32, instead of uint8",
            seconds(decoded.map(views.SimCLR(SIZE, blur=False, strength=0.0))),
        ),
        ("jitter", seconds(decoded.map(views.SimCLR(SIZE, blur=False)))),
        ("blur", seconds(decoded.map(views.SimCLR(SIZE)))),
    ]
    differences, before = [("decode", steps[0][1] - nothing)], nothing
    for name, total in steps[1:]:
        differences.append((name, total - before))
        before = total
    return differences


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", required=True, help="folder of JPEGs to make the data from")
    parser.add_argument("--peer_python", help="Python with albumentations and OpenCV")
    parser.add_argument("--sizes", default="500x375,1024x768")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each; the median counts")
    arguments = parser.parse_args()
    images = sorted(pathlib.Path(arguments.images).glob("*.jpg"))
    if not images:
        parser.error(f"--images: expected JPEGs, received none in {arguments.images}")
    print("\n".join(environment()))
    if not arguments.peer_python:
        print("albumentations: left out, no --peer_python")
    for size in arguments.sizes.split(","):
        width, height = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            write_data(images, (width, height), folder)
            report(size, folder, arguments.peer_python, arguments.rounds)


def report(size: str, folder: pathlib.Path, peer_python: str | None, rounds: int) -> None:
    """Prints the tables of one size."""
    programs = {"xsample_tf": ours, "simclr tf2": simclr}
    peers = []
    if peer_python:
        peers = [Albumentations(peer_python, folder, *given) for given in ([], ["--uint8"])]
        programs[f"{peers[0].versions}, float32"] = peers[0]
        programs["the same, uint8"] = peers[1]
    print(f"\n{size}, pairs/s on {os.cpu_count()} cores (ours / theirs):\n")
    print("| program | with blur | ratio | without | ratio |\n|---|---:|---:|---:|---:|")
    measured = {(name, blur): [] for name in programs for blur in (True, False)}
    for _ in range(rounds):
        for name, blur in measured:
            measured[name, blur].append(programs[name](folder, blur))
    for name in programs:
        cells = []
        for blur in (True, False):
            rates = measured[name, blur]
            pairs = zip(measured["xsample_tf", blur], rates, strict=True)
            ratio = statistics.median(first / second for first, second in pairs)
            cells.append(f"{statistics.median(rates):.0f} | {ratio:.2f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    for peer in peers:
        peer.close()
    cores = os.cpu_count()
    whole = statistics.median(measured["xsample_tf", True]) / cores

    def of_core(policy: Callable) -> float:
        dataset = data.load(str(folder / "data"), "train", BATCH, policy)
        return statistics.median(rate(dataset) for _ in range(rounds)) / cores

    crops, augmented = of_core(views.SimCLR(SIZE).crops), of_core(views.AutoAugment(SIZE))
    print("\n| stage | core-ms a pair | share |\n|---|---:|---:|")
    rest, total = 1000 / whole, 1000 / whole
    for name, cost in stages(folder):
        rest -= cost
        print(f"| {name} | {cost:.2f} | {cost / total:.0%} |")
    print(f"| reading, batches, and what cores cost each other | {rest:.2f} | {rest / total:.0%} |")
    print(f"| all | {total:.2f} | |")
    print(f"\n| {size} | pairs/s of a core | cores for {A100:,} pairs/s |\n|---|---:|---:|")
    print(f"| colour and blur on the host | {whole:.0f} | {A100 / whole:.1f} |")
    print(f"| colour and blur left to the accelerator | {crops:.0f} | {A100 / crops:.1f} |")
    print(f"| AutoAugment, on the host | {augmented:.0f} | {A100 / augmented:.1f} |")


if __name__ == "__main__":
    main()
