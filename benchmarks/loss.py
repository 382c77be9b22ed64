"""The loss forward and backward, ours and PyTorch's: time and memory by number of images.

    python benchmarks/loss.py --torch_python=OTHER_ENVIRONMENT/bin/python --output=runs/loss
    python benchmarks/loss.py --only=tiled --images=65536 --rounds=1
    python benchmarks/loss.py --loss=siglip --images=8192,16384 ...

Writes OUTPUT/loss.md and OUTPUT/loss.png after each number of images. The contenders live in
processes of their own (loss_worker.py) and are timed in turn; memory is measured in fresh
processes. Exits 1, before anything is timed, when their values or gradients differ.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
from absl import app, flags
from environment import environment
from loss_report import GB, LABELS, OURS, Measurement, Row, matrix_bytes, plot, tables
from loss_worker import CAPTION_SIZE, EMBEDDING_SIZE, LOSSES, TENSORFLOW, TORCH, VIEWS

_LOSS = flags.DEFINE_enum(
    "loss", "x_sample", LOSSES, "X-CLR's, or one of images and texts with what it learns."
)
_ONLY = flags.DEFINE_list(
    "only", "tiled,dense_xla,dense,torch,torch_chunked", f"Contenders of {', '.join(LABELS)}."
)
flags.register_validator("only", lambda names: set(names) <= LABELS.keys(), "unknown contender")
_IMAGES = flags.DEFINE_list("images", [str(2**k) for k in range(8, 16)], "Numbers of images.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "How often each contender is timed.", lower_bound=1)
_TORCH_PYTHON = flags.DEFINE_string("torch_python", None, "Python of an environment with PyTorch.")
_THREADS = flags.DEFINE_integer("threads", os.cpu_count(), "Threads of every contender.")
_MEMORY_LIMIT = flags.DEFINE_float("memory_limit_gb", 16, "A contender that needs more is skipped.")
_OUTPUT = flags.DEFINE_string("output", "runs/loss", "Where the table and the plot go.")

TOLERANCE = 1e-4
SMALL = 64


def main(arguments: list[str]) -> None:
    contenders = [c for c in _ONLY.value if c in TENSORFLOW or _runs_torch(c)]
    if not contenders:
        raise SystemExit("nothing to run: PyTorch's contenders need --torch_python")
    images = sorted(map(int, _IMAGES.value))
    output = pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    small = {contender: peak(contender, SMALL) for contender in contenders}
    results: dict[int, Row] = {}
    rate = 0.0
    with contextlib.ExitStack() as stack:
        workers = {c: stack.enter_context(Worker(c)) for c in contenders}
        check_agreement([w for c, w in workers.items() if fits(c, images[0])], images[0])
        for number in images:
            ready = {c: worker for c, worker in workers.items() if fits(c, number)}
            results[number] = measure(ready, number, small)
            if OURS in ready:
                rate = max(rate, ready[OURS].ask("rate"))
            lines = [*environment(), "", *conditions(workers, rate)]
            lines += tables(contenders, results, rate, _LOSS.value)
            (output / "loss.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
            plot(contenders, results, output / "loss.png")
            print(f"{number} images done", file=sys.stderr)
    print("\n".join(lines))


def _runs_torch(contender: str) -> bool:
    return bool(_TORCH_PYTHON.value) and _LOSS.value in TORCH[contender]


class Worker:
    """A contender in a process of its own; it waits, idle, while another one is asked."""

    def __init__(self, contender: str):
        self.contender = contender
        python = _TORCH_PYTHON.value if contender in TORCH else sys.executable
        program = str(pathlib.Path(__file__).with_name("loss_worker.py"))
        settings = {
            # As in tools/.
            "TF_ENABLE_ONEDNN_OPTS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            # Idle threads sleep instead of spinning, which would take time from who is timed.
            "OMP_WAIT_POLICY": "passive",
            "KMP_BLOCKTIME": "0",
        }
        # TensorFlow is talkative: what it says is shown only if the worker fails.
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [python, program, contender, _LOSS.value, str(_THREADS.value)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={**os.environ, **settings},
        )

    def ask(self, request: str, argument: Any = "") -> Any:
        """The worker's answer to one of loss_worker.py's requests."""
        with contextlib.suppress(BrokenPipeError):
            print(request, argument, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            status = self._process.wait()
            self._said.seek(0)
            raise SystemExit(
                f"{self._said.read()}\n{self.contender}: status {status} at {request} {argument}"
            )
        return json.loads(answer)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


def fits(contender: str, images: int) -> bool:
    return matrix_bytes(contender, images, _LOSS.value) <= _MEMORY_LIMIT.value * GB


def peak(contender: str, images: int) -> int:
    """Peak bytes of a fresh process that runs one step.

    Linux hands a process its parent's peak as a start: this one has to stay small, and does,
    as it imports neither framework.
    """
    with Worker(contender) as worker:
        worker.ask("load", images)
        return worker.ask("peak")


def check_agreement(workers: list[Worker], images: int) -> None:
    """Exits when a value or a gradient differs from the first contender's."""
    if len(workers) < 2:
        return
    found = {worker.contender: value_and_gradient(worker, images) for worker in workers}
    first, *others = found
    for other in others:
        for name, expected in found[first].items():
            error = np.abs(found[other][name] - expected).max() / np.abs(expected).max()
            if not error <= TOLERANCE:
                raise SystemExit(
                    f"{other}: {name} at {images} images differs by {error:.1e} from {first}'s, "
                    f"expected at most {TOLERANCE:g} of the largest element"
                )


def value_and_gradient(worker: Worker, images: int) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory, "result.npz")
        worker.ask("load", images)
        worker.ask("save", path)
        return dict(np.load(path))


def measure(workers: dict[str, Worker], images: int, small: dict[str, int]) -> Row:
    """Memory in fresh processes, then time in turn; `small` has the peaks with few images."""
    peaks = {contender: peak(contender, images) for contender in workers}
    for worker in workers.values():
        worker.ask("load", images)
    rounds = [
        {contender: worker.ask("time") for contender, worker in workers.items()}
        for _ in range(_ROUNDS.value)
    ]
    return {
        c: Measurement([turn[c] for turn in rounds], peaks[c], peaks[c] - small[c]) for c in workers
    }


def conditions(workers: dict[str, Worker], rate: float) -> list[str]:
    """What was compared, how, and what was left out, as lines of Markdown."""
    inputs = f"embeddings of {EMBEDDING_SIZE} numbers"
    if _LOSS.value == "x_sample":
        inputs = f"{VIEWS} views an image, {inputs}, captions of {CAPTION_SIZE}"
    lines = [
        f"Loss {_LOSS.value}, forward and backward, {inputs}, float32; {_THREADS.value} threads.",
        f"Time: contenders in turn, the median of {_ROUNDS.value} rounds, and of their ratios.",
        "Best dense: the fastest, or leanest, that writes every matrix out, PyTorch's included.",
        f"Memory: the peak of a fresh process above the same program's at {SMALL} images.",
        f"A dash: not run, as it needs about the memory in brackets; the limit was "
        f"{_MEMORY_LIMIT.value:g} GB.",
    ]
    if torch := [worker for contender, worker in workers.items() if contender in TORCH]:
        lines[0] += f" PyTorch {torch[0].ask('version')}."
    elif not TORCH.keys().isdisjoint(_ONLY.value):
        lines.append("PyTorch is left out: no --torch_python.")
    if rate:
        lines.append(f"Floor: operations counted, at the matrix product's {rate / GB:.0f} GFLOP/s.")
    return [f"- {line}" for line in lines]


if __name__ == "__main__":
    app.run(main)
