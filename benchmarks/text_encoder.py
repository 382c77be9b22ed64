"""The BERT-family text encoder in TensorFlow against sentence-transformers in PyTorch.

Exits 1 when the largest absolute difference of a vector's element is above 1e-3. First write
REFERENCE.npy with text_encoder_reference.py, in an environment that has PyTorch.

    python benchmarks/text_encoder.py --model=DIR_OR_ID --captions=captions.csv \
        --reference=reference.npy

Without --reference it measures captions per second alone; --model=lexical works too.
"""

import argparse
import csv
import os
import platform
import resource
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Before TensorFlow is imported.

import numpy as np
import tensorflow as tf

from xsample_tf import text

TOLERANCE = 1e-3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="handle of the text encoder")
    parser.add_argument("--captions", required=True, help="CSV with a column `caption`")
    parser.add_argument("--count", type=int, default=1000, help="how many captions, from the top")
    parser.add_argument("--reference", help="float32 [count, T] as .npy")
    arguments = parser.parse_args()

    with open(arguments.captions, encoding="utf-8", newline="") as file:
        captions = [row["caption"] for row in csv.DictReader(file)][: arguments.count]
    encoder = text.load_encoder(arguments.model)
    encoder(captions[:64])  # Warm.
    start = time.perf_counter()
    vectors = encoder(captions)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"TensorFlow {tf.__version__}, Python {platform.python_version()}, {os.cpu_count()} CPUs")
    print(
        f"{encoder.name}: {len(captions)} captions, {len(set(captions))} distinct, in "
        f"{seconds:.2f} s: {len(captions) / seconds:.0f} captions/s, {peak:.1f} GiB at the peak"
    )
    if not arguments.reference:
        return 0
    reference = np.load(arguments.reference)
    difference = float(np.abs(vectors - reference).max())
    cosine = float(np.sum(vectors * reference, axis=1).min())
    print(f"largest absolute difference {difference:.2e}, smallest cosine {cosine:.8f}")
    return int(not difference <= TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
