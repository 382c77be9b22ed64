"""Probes of stored features at ImageNet's size: kNN beside faiss, and the linear probe.

    python benchmarks/features_at_scale.py --faiss_python=OTHER_ENVIRONMENT/bin/python
    python benchmarks/features_at_scale.py --images=128116 --queries=500 --rounds=3 \
        --faiss_python=OTHER_ENVIRONMENT/bin/python

Writes random float16 features [images, 2048] to a file, which stays for the next time. Each
contender runs in a process of its own, one after the other, --rounds times in turn: kNN of 20 by
xsample_tf and by faiss-cpu's exact search, both reading the file block by block, and one epoch of
the linear probe by gradient descent for 1,000 classes, with one rate and with the grid of six.
Prints medians, the ratio of each turn, and the most memory of a process beyond what the file maps;
ends with an error where the two searches find different neighbours.
"""

import json
import pathlib
import statistics
import subprocess
import sys

import numpy as np
from absl import app, flags
from environment import environment

_IMAGES = flags.DEFINE_integer("images", 1_281_167, "Rows of the gallery.")
_QUERIES = flags.DEFINE_integer("queries", 5_000, "Rows that are looked for.")
_FILE = flags.DEFINE_string("file", "runs/features_at_scale.npy", "Where the features are written.")
_ROUNDS = flags.DEFINE_integer("rounds", 1, "Turns of each.")
_FAISS = flags.DEFINE_string("faiss_python", None, "Python of an environment with faiss-cpu.")
_ONLY = flags.DEFINE_list("only", ["knn", "faiss", "probe", "grid"], "Which contenders.")

SIZE, K = 2048, 20
_BLOCK = 65536
TITLES = {
    "knn": "kNN, xsample_tf",
    "faiss": "kNN, faiss-cpu exact",
    "probe": "linear probe, one epoch, one rate",
    "grid": "linear probe, one epoch, six rates",
}


def main(arguments: list[str]) -> None:
    only = [name for name in _ONLY.value if name != "faiss" or _FAISS.value]
    file = pathlib.Path(_FILE.value)
    write_features(file, _IMAGES.value)
    found: dict[str, list[dict]] = {name: [] for name in only}
    for _ in range(_ROUNDS.value):
        for name in only:
            answer = contender(name, file)
            print(f"{name}: {answer['seconds']:.1f} s, {answer['memory_mb']:.0f} MB", flush=True)
            found[name].append(answer)
    print("\n".join(environment()))
    print(f"\n{_IMAGES.value:,} x {SIZE} float16 features, {_QUERIES.value:,} queries, k = {K}.\n")
    print("| | seconds | memory, MB |\n|---|---:|---:|")
    for name, answers in found.items():
        seconds = statistics.median(answer["seconds"] for answer in answers)
        memory = max(answer["memory_mb"] for answer in answers)
        print(f"| {TITLES[name]} | {seconds:.1f} | {memory:,.0f} |")
    if {"knn", "faiss"} <= found.keys():
        pairs = list(zip(found["knn"], found["faiss"], strict=True))
        ratios = sorted(ours["seconds"] / theirs["seconds"] for ours, theirs in pairs)
        print(f"\nkNN, xsample_tf / faiss-cpu, by turn: {', '.join(f'{r:.2f}' for r in ratios)}")
        if any(ours["checksum"] != theirs["checksum"] for ours, theirs in pairs):
            sys.exit("the two searches found different neighbours")


def write_features(file: pathlib.Path, images: int) -> None:
    """Writes the features, unless the file has as many."""
    if file.exists() and np.load(file, mmap_mode="r").shape == (images, SIZE):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    shape = (images, SIZE)
    features = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
    random = np.random.default_rng(0)
    for first in range(0, images, _BLOCK):
        count = min(_BLOCK, images - first)
        features[first : first + count] = random.standard_normal((count, SIZE), np.float32)
    features.flush()


def contender(name: str, file: pathlib.Path) -> dict:
    """Runs a contender in a process of its own."""
    python = _FAISS.value if name == "faiss" else sys.executable
    program = pathlib.Path(__file__).with_name("features_at_scale_worker.py")
    command = [python, str(program), name, str(file), str(_QUERIES.value), str(K)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    app.run(main)
