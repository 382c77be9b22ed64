"""SimCLR's views by albumentations and OpenCV in worker processes, for input.py to compare with.

Runs in an environment of its own: pip install albumentations opencv-python-headless. For every
line on standard input, PAIRS and whether to blur (0 or 1), it prints seconds. What is timed ends
with batches in the memory of this process, float32 in [0, 1], or uint8 with --uint8.
"""

import argparse
import pathlib
import sys
import time
from importlib import metadata
from multiprocessing import Pool, shared_memory

import albumentations
import cv2
import numpy as np

SIZE = 224
CHUNK = 32  # Pairs in a worker's task.
SLOTS = 4  # Batches that are being made at a time.


def policy(blur: bool, dtype: type) -> albumentations.Compose:
    """The operations of views.SimCLR, with the same probabilities and strengths."""
    operations = [
        albumentations.RandomResizedCrop((SIZE, SIZE), scale=(0.08, 1.0)),
        albumentations.HorizontalFlip(p=0.5),
        albumentations.ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8),
        albumentations.ToGray(p=0.2),
    ]
    if blur:
        operations.append(
            albumentations.GaussianBlur(blur_limit=(23, 23), sigma_limit=(0.1, 2.0), p=0.5)
        )
    if dtype is np.float32:
        operations.append(albumentations.ToFloat(255.0))
    return albumentations.Compose(operations)


def start_worker(folder: str, name: str, shape: tuple[int, ...], dtype: type) -> None:
    """Holds what a worker's tasks need."""
    global contents, memory, batches, policies
    cv2.setNumThreads(0)  # The processes share the cores.
    files = sorted(pathlib.Path(folder).glob("*.jpg"))
    contents = [np.frombuffer(file.read_bytes(), np.uint8) for file in files]
    memory = shared_memory.SharedMemory(name)
    batches = np.ndarray(shape, dtype, memory.buf)
    policies = [policy(False, dtype), policy(True, dtype)]


def fill(task: tuple[int, int, int, int]) -> None:
    """Makes the pairs of one task."""
    slot, first, number, blur = task
    for row in range(first, first + CHUNK):
        image = cv2.imdecode(contents[(number + row) % len(contents)], cv2.IMREAD_COLOR)
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        for view in range(2):
            batches[slot, row, view] = policies[blur](image=image)["image"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--uint8", action="store_true")
    arguments = parser.parse_args()
    dtype = np.uint8 if arguments.uint8 else np.float32
    shape = (SLOTS, arguments.batch_size, 2, SIZE, SIZE, 3)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = shared_memory.SharedMemory(create=True, size=size)
    given = (arguments.folder, memory.name, shape, dtype)
    try:
        with Pool(arguments.workers, start_worker, given) as pool:
            seconds(pool, arguments.batch_size, arguments.batch_size, 1)  # Warm, as the others are.
            names = ("albumentations", "opencv-python-headless")
            print(", ".join(f"{name} {metadata.version(name)}" for name in names), flush=True)
            for line in sys.stdin:
                print(seconds(pool, arguments.batch_size, *map(int, line.split())), flush=True)
    finally:
        memory.close()
        memory.unlink()


def seconds(pool: Pool, batch_size: int, pairs: int, blur: int) -> float:
    """Makes so many pairs; a slot is filled again when its batch has arrived."""
    start, waiting = time.perf_counter(), []
    for number in range(pairs // batch_size):
        slot = number % SLOTS
        tasks = [(slot, row, number * batch_size, blur) for row in range(0, batch_size, CHUNK)]
        if len(waiting) == SLOTS:
            waiting.pop(0).get()
        waiting.append(pool.map_async(fill, tasks, chunksize=1))
    for batch in waiting:
        batch.get()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
