"""A sentence-transformers directory run by xsample_tf against sentence-transformers itself.

Both encode the same captions in turns, each in a process of its own; the other one waits. Prints a
table in Markdown, and exits 1 when an element of a vector differs by more than --tolerance.

    python benchmarks/text_encoder.py --model=DIR_OR_ID --captions=captions.csv --count=2000 \
        --reference_python=OTHER_ENVIRONMENT/bin/python

The other environment has PyTorch: pip install torch sentence-transformers. Without it, and for the
encoders that it does not know (--model=lexical), the table has our side alone.
"""

import argparse
import csv
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

# Both before TensorFlow is imported, as the tools do.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from environment import environment

from xsample_tf import text


class Reference:
    """The process of sentence-transformers, which encodes whenever it is told to."""

    def __init__(self, python: str, model: str, captions: list[str]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._vectors = pathlib.Path(self._folder.name, "vectors.npy")
        texts = pathlib.Path(self._folder.name, "captions.csv")
        with texts.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["caption"], *([caption] for caption in captions)])
        program = pathlib.Path(__file__).with_name("text_encoder_reference.py")
        files = [f"--captions={texts}", f"--output={self._vectors}"]
        self._process = subprocess.Popen(
            [python, str(program), f"--model={model}", *files],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.versions = self._answer()

    def seconds(self) -> float:
        """Encodes the captions once more."""
        self._process.stdin.write("again\n")
        self._process.stdin.flush()
        return float(self._answer())

    def vectors(self) -> np.ndarray:
        """Ends the process; float32 `[K, T]`."""
        self._process.stdin.close()
        self._process.wait()
        return np.load(self._vectors)

    def _answer(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the reference process ended; its own message stands above")
        return line.strip()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="handle of the text encoder")
    parser.add_argument("--captions", required=True, help="CSV with a column `caption`")
    parser.add_argument("--count", type=int, help="how many captions, from the top; all")
    parser.add_argument("--distinct", action="store_true", help="leave repeated captions out")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each; the median counts")
    parser.add_argument("--reference_python", help="Python with sentence-transformers")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()

    with open(arguments.captions, encoding="utf-8", newline="") as file:
        captions = [row["caption"] for row in csv.DictReader(file)]
    if arguments.distinct:
        captions = list(dict.fromkeys(captions))
    captions = captions[: arguments.count]
    encoder = text.load_encoder(arguments.model)
    reference = None
    if arguments.reference_python:
        reference = Reference(arguments.reference_python, arguments.model, captions)
    encoder(captions[:64])  # Warm, as the reference is.
    ours, theirs = [], []
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        vectors = encoder(captions)
        ours.append(time.perf_counter() - start)
        if reference:
            theirs.append(reference.seconds())
    print("\n".join(environment()))
    print(f"\n{encoder.name}: {len(captions)} captions, {len(set(captions))} distinct.\n")
    print("| program | captions/s | of each round |\n|---|---:|---|")
    _row("xsample_tf", len(captions), ours)
    if not reference:
        return 0
    _row(reference.versions, len(captions), theirs)
    print(f"\nratio {statistics.median(theirs) / statistics.median(ours):.2f}")
    expected = reference.vectors()
    difference = float(np.abs(vectors - expected).max())
    cosine = float(np.sum(vectors * expected, axis=1).min())
    print(f"largest absolute difference {difference:.2e}, smallest cosine {cosine:.8f}")
    return int(not difference <= arguments.tolerance)


def _row(name: str, captions: int, seconds: list[float]) -> None:
    rounds = ", ".join(f"{captions / value:.3g}" for value in seconds)
    print(f"| {name} | {captions / statistics.median(seconds):.3g} | {rounds} |")


if __name__ == "__main__":
    sys.exit(main())
