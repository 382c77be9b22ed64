"""What happens between steps: the progress line, logs, checkpoints and evaluations."""

import json
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError


class Intervals(keras.callbacks.Callback):
    """Closes log intervals: one line on the screen, in metrics.jsonl and in TensorBoard each.

    An interval ends every `every` steps and at the end of an epoch, a function of the step alone,
    so that a resumed run's file equals an undisturbed one's. Its values are those of the interval
    alone; what depends on the clock is on the screen and in TensorBoard only.

    Args:
        directory: The run's directory.
        first_step: Step at which this process takes over.
        total_steps: Length of the run.
        steps_per_epoch: Steps in an epoch.
        every: Steps in an interval.
        pairs_per_step: Images in the global batch.
        max_substituted: Share of unreadable records at which the run is stopped.
        then: Called with the step when an interval has ended.
        log: Where the progress line goes.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        first_step: int,
        total_steps: int,
        steps_per_epoch: int,
        every: int,
        pairs_per_step: int,
        max_substituted: float,
        then: Callable[[int], None],
        log: Callable[[str], None] = print,
    ):
        super().__init__()
        self._path = directory / "metrics.jsonl"
        self._writer = tf.summary.create_file_writer(str(directory / "tensorboard"))
        self._step = self._begin = self._first = first_step
        self._total, self._per_epoch, self._every = total_steps, steps_per_epoch, every
        self._pairs, self._max_substituted = pairs_per_step, max_substituted
        self._then, self._log = then, log
        self._paused = 0.0
        _drop_lines_after(self._path, first_step)

    def on_train_begin(self, logs: Any = None) -> None:
        """Starts the clocks; the first step also traces and compiles."""
        self._log("tracing the training step (the first one takes longer) ...")
        self._start = self._interval_start = time.perf_counter()
        self._waited = self.model.seconds_waiting

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts the step, and closes the interval where one ends."""
        self._step += 1
        if self._step == self._first + 1:
            self._log(f"first step done in {time.perf_counter() - self._start:.1f} s")
            # The first step's tracing would spoil the rate that the ETA is computed from.
            self._start, self._waited = time.perf_counter(), self.model.seconds_waiting
            self._interval_start = self._start
            self._rate_from = self._step
        ends = self._step % self._every == 0 or self._step % self._per_epoch == 0
        if ends or self._step == self._total:
            self._close(logs)

    def _close(self, logs: dict[str, Any]) -> None:
        values = {name: float(value) for name, value in logs.items()}
        values["learning_rate"] = float(self.model.optimizer.learning_rate)
        line = {"step": self._step, "epoch": self._step / self._per_epoch, **values}
        now = time.perf_counter()
        steps = self._step - max(self._begin, self._rate_from)
        clock = {
            "pairs_per_second": self._pairs * steps / max(now - self._interval_start, 1e-9),
            "data_wait": (self.model.seconds_waiting - self._waited)
            / max(now - self._interval_start, 1e-9),
        }
        self._log(self._progress(values, clock, now))
        self._check(values)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        with self._writer.as_default(step=self._step):
            for name, value in {**values, **clock}.items():
                tf.summary.scalar(name, value)
        self._writer.flush()
        self.model.reset_metrics()
        self._begin = self._step
        self._then(self._step)
        # Checkpoints and evaluations are no part of the rate of training.
        self._paused += time.perf_counter() - now
        self._interval_start, self._waited = time.perf_counter(), self.model.seconds_waiting

    def _progress(self, values: dict[str, float], clock: dict[str, float], now: float) -> str:
        done = self._step - self._rate_from
        per_step = (now - self._start - self._paused) / done if done else math.nan
        return (
            f"epoch {self._step / self._per_epoch:.2f}/{self._total / self._per_epoch:.4g}  "
            f"step {self._step}/{self._total}  loss {values['loss']:.4f}  kl {values['kl']:.4f}  "
            f"{clock['pairs_per_second']:.0f} pairs/s  data wait {clock['data_wait']:.0%}  "
            f"eta {_duration((self._total - self._step) * per_step)}"
        )

    def _check(self, values: dict[str, float]) -> None:
        where = f"between steps {self._begin} and {self._step}"
        if not math.isfinite(values["loss"]):
            raise InputError(
                f"loss: not finite {where}; lower learning_rate or lengthen the warm-up, and run "
                "the same command to continue from the last checkpoint"
            )
        if values["substituted"] > self._max_substituted:
            raise InputError(
                f"data: {values['substituted']:.1%} of the records {where} could not be read, more "
                f"than max_substituted={self._max_substituted:g}; check the shards, or raise the "
                "limit"
            )


def _drop_lines_after(path: pathlib.Path, step: int) -> None:
    """A run that died after its last checkpoint repeats steps: their lines are written again.

    One that begins at step 0 writes all of them, that of the evaluation before it included.
    """
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines() if step else []
        kept = []
        for line in lines:
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except ValueError:
                break  # The line that a killed process was writing.
        path.write_text("".join(kept), encoding="utf-8")


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"
