"""One contender of loss.py in a process of its own, which waits, idle, until it is asked.

    python benchmarks/loss_worker.py CONTENDER LOSS THREADS

Each line of standard input is a request, each line of standard output its answer in JSON:

    version      of the framework
    load N       makes the inputs of N images and runs a first step forward and backward
    time         seconds a step
    peak         the most memory that the process has had, in bytes
    save FILE    writes value and gradient to FILE, which ends in .npz
    rate         float32 operations a second of the machine's matrix products, by TensorFlow
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

VIEWS, EMBEDDING_SIZE, CAPTION_SIZE = 2, 128, 384
TEMPERATURE = TARGET_TEMPERATURE = 0.1
BIAS = -10.0
# The two-sided losses contrast an image with texts; they need no captions, and learn their scalars.
LOSSES = ("x_sample", "clip", "siglip")
# Contender to implementation of our loss, whether XLA compiles the step, and whether the step uses
# the rows' statistics; XLA leaves out what is not used.
TENSORFLOW = {
    "tiled": ("tiled", True, False),
    "tiled_statistics": ("tiled", True, True),
    "tiled_plain": ("tiled", False, False),
    "dense_xla": ("dense", True, False),
    "dense": ("dense", False, False),
}
# Contender to function of loss_torch.py, by loss.
TORCH = {
    "torch": {"x_sample": "full", "clip": "clip", "siglip": "siglip"},
    "torch_chunked": {"x_sample": "chunked"},
}

# A step returns value and gradient by embeddings; a loader makes one from captions and embeddings.
Step = Callable[[], tuple[Any, Any]]
Loader = Callable[[np.ndarray, np.ndarray], Step]


def main() -> None:
    contender, loss, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    # What a library prints is no answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    framework = "torch" if contender in TORCH else "tensorflow"
    load = (torch_loader if contender in TORCH else tensorflow_loader)(contender, loss, threads)
    for line in sys.stdin:
        request, argument = line.rstrip("\n").split(" ", 1)
        answer = None
        if request == "version":
            answer = metadata.version(framework)
        elif request == "load":
            step = load(*inputs(int(argument)))
            step()
        elif request == "time":
            answer = seconds(step)
        elif request == "peak":
            answer = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        elif request == "save":
            value, gradient = step()
            np.savez(argument, value=np.asarray(value), gradient=np.asarray(gradient))
        elif request == "rate":
            answer = product_rate()
        print(json.dumps(answer), file=answers, flush=True)


def inputs(images: int) -> tuple[np.ndarray, np.ndarray]:
    """Captions `[N, T]` of 64 topics and embeddings `[N, V, D]` that know a little of them."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, np.float32)

    captions = normal(64, CAPTION_SIZE)[random.integers(64, size=images)]
    captions += normal(images, CAPTION_SIZE)
    image = captions @ normal(CAPTION_SIZE, EMBEDDING_SIZE) / CAPTION_SIZE**0.5
    image = 0.3 * image + normal(images, EMBEDDING_SIZE)
    return captions, image[:, None] + 0.5 * normal(images, VIEWS, EMBEDDING_SIZE)


def tensorflow_loader(contender: str, loss: str, threads: int) -> Loader:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    implementation, compiled, with_statistics = TENSORFLOW[contender]
    of_batch, learned = tensorflow_loss(loss, implementation)
    learned = {name: tf.constant(value) for name, value in learned.items()}

    @tf.function(jit_compile=compiled)
    def step(captions: tf.Tensor, embeddings: tf.Tensor, learned: dict) -> tuple:
        with tf.GradientTape() as tape:
            tape.watch([embeddings, learned])
            rows, statistics = of_batch.rows(captions, embeddings, **learned)
            value = tf.reduce_mean(rows)
        used = [tf.reduce_mean(one) for one in statistics.values()] if with_statistics else []
        return value, *tape.gradient(value, (embeddings, learned)), used

    def load(captions: np.ndarray, embeddings: np.ndarray) -> Step:
        tensors = tf.constant(captions), tf.constant(embeddings)
        return lambda: step(*tensors, learned)[:2]

    return load


def tensorflow_loss(loss: str, implementation: str) -> tuple[Any, dict[str, float]]:
    """A loss of ours, and what is learned beside the embeddings."""
    from xsample_tf import graphs, losses

    if loss == "siglip":
        made = losses.SigmoidContrastiveLoss(implementation=implementation)
        return made, {"temperature": TEMPERATURE, "bias": BIAS}
    if loss == "clip":
        made = losses.ImageTextContrastiveLoss(implementation=implementation)
        return made, {"temperature": TEMPERATURE}
    made = losses.XSampleContrastiveLoss(
        graphs.CosineGraph(), TEMPERATURE, TARGET_TEMPERATURE, implementation=implementation
    )
    return made, {}


def torch_loader(contender: str, loss: str, threads: int) -> Loader:
    import loss_torch
    import torch

    torch.set_num_threads(threads)
    of_batch = getattr(loss_torch, TORCH[contender][loss])

    def load(captions: np.ndarray, embeddings: np.ndarray) -> Step:
        given, wanted = torch.from_numpy(captions), torch.from_numpy(embeddings).requires_grad_()

        def step() -> tuple[torch.Tensor, torch.Tensor]:
            value, learned = of_batch(given, wanted, TEMPERATURE, TARGET_TEMPERATURE)
            gradient, *_ = torch.autograd.grad(value, [wanted, *learned])
            return value.detach(), gradient

        return step

    return load


def seconds(step: Step, enough: float = 0.2) -> float:
    """Seconds a step, over so many that the first one's cold caches do not count."""
    start, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - start < enough:
        value, _ = step()
        float(value)
        steps += 1
    return (time.perf_counter() - start) / steps


def product_rate(size: int = 2048, repetitions: int = 10) -> float:
    """Float32 operations a second of a square matrix product, the best with XLA or without."""
    import tensorflow as tf

    factor = tf.random.stateless_normal([size, size], seed=[0, 0])
    best = float("inf")
    for compiled in (False, True):
        product = tf.function(tf.matmul, jit_compile=compiled)
        for _ in range(repetitions):
            start = time.perf_counter()
            float(product(factor, factor)[0, 0])
            best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


if __name__ == "__main__":
    main()
