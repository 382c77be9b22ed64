"""Vectors of sentence-transformers (PyTorch, CPU), for text_encoder.py to compare with.

Runs in an environment of its own, without xsample_tf: pip install torch sentence-transformers

    python benchmarks/text_encoder_reference.py --model=DIR_OR_ID --captions=captions.csv \
        --output=reference.npy
"""

import argparse
import csv
import platform
import time

import numpy as np
import sentence_transformers
import torch
import transformers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="sentence-transformers directory or id")
    parser.add_argument("--captions", required=True, help="CSV with a column `caption`")
    parser.add_argument("--count", type=int, default=1000, help="how many captions, from the top")
    parser.add_argument("--output", required=True, help="float32 [count, T] as .npy")
    arguments = parser.parse_args()

    with open(arguments.captions, encoding="utf-8", newline="") as file:
        captions = [row["caption"] for row in csv.DictReader(file)][: arguments.count]
    model = sentence_transformers.SentenceTransformer(arguments.model, device="cpu")
    model.encode(captions[:64])  # Warm.
    start = time.perf_counter()
    vectors = model.encode(captions, batch_size=64, normalize_embeddings=True)
    seconds = time.perf_counter() - start
    np.save(arguments.output, vectors)
    print(
        f"sentence-transformers {sentence_transformers.__version__}, transformers "
        f"{transformers.__version__}, torch {torch.__version__}, Python "
        f"{platform.python_version()}, {torch.get_num_threads()} threads"
    )
    print(f"{len(captions)} captions in {seconds:.2f} s: {len(captions) / seconds:.0f} captions/s")


if __name__ == "__main__":
    main()
