"""One contender of features_at_scale.py in a process of its own.

    python benchmarks/features_at_scale_worker.py knn|faiss|probe|grid FILE QUERIES K

Prints a line of JSON: seconds, the most anonymous memory in MB, and of a search a checksum of the
neighbours. faiss needs an environment with NumPy and faiss-cpu alone.
"""

import json
import pathlib
import sys
import threading
import time
import zlib
from collections.abc import Iterator

import numpy as np

_BLOCK = 8192
CLASSES = 1000


def main() -> None:
    name, file, queries, k = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    features = np.load(file, mmap_mode="r")
    memory = Memory()
    run = {"knn": ours, "faiss": faiss_search}.get(name)
    if run is not None:
        wanted = np.random.default_rng(1).standard_normal((queries, features.shape[1]), np.float32)
        run(features[:_BLOCK], wanted[:16], k)  # Imports and compiles.
        start = time.perf_counter()
        rows = run(features, wanted, k)
        seconds = time.perf_counter() - start
        answer = {"checksum": zlib.crc32(np.sort(rows, axis=1).astype(np.int64).tobytes())}
    else:
        seconds, answer = probe(features, 6 if name == "grid" else 1), {}
    print(json.dumps(answer | {"seconds": seconds, "memory_mb": memory.most / 1e6}))


def ours(features: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    from xsample_tf.evaluation.neighbours import nearest

    return nearest(features, queries, k)[1]


def faiss_search(features: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    import faiss
    from faiss.contrib.exhaustive_search import knn_ground_truth

    def blocks() -> Iterator[np.ndarray]:
        for first in range(0, len(features), _BLOCK):
            block = features[first : first + _BLOCK].astype(np.float32)
            faiss.normalize_L2(block)
            yield block

    queries = queries.copy()
    faiss.normalize_L2(queries)
    return knn_ground_truth(queries, blocks(), k, metric_type=faiss.METRIC_INNER_PRODUCT)[1]


def probe(features: np.ndarray, rates: int) -> float:
    from xsample_tf.evaluation.probes.gradient_descent import RATES, fit_by_gradient_descent

    labels = np.random.default_rng(2).integers(CLASSES, size=len(features))
    grid = RATES if rates > 1 else RATES[2:3]
    start = time.perf_counter()
    fit_by_gradient_descent(features, labels, CLASSES, grid, epochs=1, log=lambda line: None)
    return time.perf_counter() - start


class Memory:
    """The most anonymous memory of this process, looked at ten times a second.

    What is mapped from the file is left out: the system takes it back when it needs room.
    """

    def __init__(self):
        self.most = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            text = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
            kilobytes = next(line.split()[1] for line in text.splitlines() if "RssAnon" in line)
            self.most = max(self.most, int(kilobytes) * 1024)
            time.sleep(0.1)


if __name__ == "__main__":
    main()
