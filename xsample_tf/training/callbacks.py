"""What happens between steps: the progress line, logs, and stopping."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras

from xsample_tf.errors import InputError
from xsample_tf.training.checkpoints import Checkpoints
from xsample_tf.training.logs import Logs
from xsample_tf.training.options import Options

# Fewer steps say little about the share of skipped ones: float16 skips some at first.
_SKIPPED_WINDOW = 50


class LogIntervals(keras.callbacks.Callback):
    """Closes log intervals: one line on the screen, in metrics.jsonl and in TensorBoard each.

    An interval ends every `log_every_steps` and at the end of an epoch, with the execution in which
    they fall: a function of the step alone, so that a resumed run's file equals an undisturbed
    one's. Its values are those of the interval alone; what depends on the clock is on the screen
    and in TensorBoard only.

    Args:
        logs: The run's logs.
        checkpoints: Where the last good one is, and where the state goes when the run is stopped.
        options: The run's settings.
        shown: Names of the metrics on the progress line, in order.
        first_step: Step at which this process takes over.
        total_steps: Length of the run.
        steps_per_epoch: Steps in an epoch.
        then: Called with the step when an interval has ended.
        stop: Called after every step: whether to save and to end there.
        log: Where the progress line goes.

    Attributes:
        step: Steps taken.
    """

    def __init__(
        self,
        *,
        logs: Logs,
        checkpoints: Checkpoints,
        options: Options,
        shown: Sequence[str],
        first_step: int,
        total_steps: int,
        steps_per_epoch: int,
        then: Callable[[int], None],
        stop: Callable[[], bool],
        log: Callable[[str], None] = print,
    ):
        super().__init__()
        self.step = self._begin = self._first = first_step
        self._logs, self._checkpoints, self._options = logs, checkpoints, options
        self._shown = shown
        self._total, self._per_epoch = total_steps, steps_per_epoch
        self._then, self._stop, self._log = then, stop, log
        self._skipped = self._judged = 0
        self._paused = 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        """Starts the clocks; the first step also traces and compiles."""
        self._log("tracing the training step (the first one takes longer) ...")
        self._start = self._interval_start = time.perf_counter()
        self._waited = self.model.seconds_waiting
        self._partial = [variable.numpy() for variable in self.model.metrics_variables]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Puts back the partial sums of an interval within which the run was stopped."""
        for variable, value in zip(self.model.metrics_variables, self._partial, strict=True):
            variable.assign(value)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Shortens the last execution to the steps that are left."""
        left = self._total - self.step
        self.model.steps_per_execution = min(self.model.steps_per_execution, left)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts the steps of an execution, and closes the interval where one ends."""
        steps = self.model.steps_per_execution
        self.step += steps
        if self.step == self._first + steps:
            self._log(f"first step done in {time.perf_counter() - self._start:.1f} s")
            # The first step's tracing would spoil the rate that the ETA is computed from.
            self._start, self._waited = time.perf_counter(), self.model.seconds_waiting
            self._interval_start = self._start
            self._rate_from = self.step
        every = self._options.log_every_steps, self._per_epoch
        if self.step == self._total or any(self.step % each < steps for each in every):
            self._close()
        if self._stop():
            if self._checkpoints.step != self.step:
                self._checkpoints.save(self.step)
            self.model.stop_training = True

    def _close(self) -> None:
        # Not the step's logs: their loss is NaN where the last step alone was skipped.
        results = self.model.get_metrics_result()
        values = {name: float(value) for name, value in results.items()}
        values["learning_rate"] = float(self.model.optimizer.learning_rate)
        line = {"step": self.step, "epoch": self.step / self._per_epoch, **values}
        now = time.perf_counter()
        steps = self.step - max(self._begin, self._rate_from)
        clock = {
            "pairs_per_second": self._options.batch_size
            * steps
            / max(now - self._interval_start, 1e-9),
            "data_wait": (self.model.seconds_waiting - self._waited)
            / max(now - self._interval_start, 1e-9),
        }
        self._log(self._progress(values, clock, now))
        self._check(values)
        self._logs.append(line)
        self._logs.draw(self.step, {**values, **clock})
        self.model.reset_metrics()
        self._begin = self.step
        self._then(self.step)
        # Checkpoints and evaluations are no part of the rate of training.
        self._paused += time.perf_counter() - now
        self._interval_start, self._waited = time.perf_counter(), self.model.seconds_waiting

    def _progress(self, values: dict[str, float], clock: dict[str, float], now: float) -> str:
        done = self.step - self._rate_from
        per_step = (now - self._start - self._paused) / done if done else math.nan
        shown = "  ".join(f"{name} {values[name]:.4f}" for name in self._shown)
        skipped = f"skipped {values['skipped']:.0f}  " if values.get("skipped") else ""
        return (
            f"epoch {self.step / self._per_epoch:.2f}/{self._total / self._per_epoch:.4g}  "
            f"step {self.step}/{self._total}  {shown}  {skipped}"
            f"{clock['pairs_per_second']:.0f} pairs/s  "
            f"data wait {clock['data_wait']:.0%}  "
            f"eta {_duration((self._total - self.step) * per_step)}"
        )

    def _check(self, values: dict[str, float]) -> None:
        where = f"between steps {self._begin} and {self.step}"
        last = self._checkpoints.newest or "the beginning"
        self._skipped += values.get("skipped", 0)
        self._judged += self.step - self._begin
        window = self._judged if self.step == self._total else max(self._judged, _SKIPPED_WINDOW)
        if self._skipped > self._options.max_skipped * window:
            raise InputError(
                f"loss: {self._skipped:.0f} of the {self._judged} steps to step {self.step} were "
                f"skipped, since the loss or a gradient was not finite, more than max_skipped="
                f"{self._options.max_skipped:g}; lower learning_rate or lengthen the warm-up, and "
                f"the same command continues from {last}"
            )
        if self._judged >= _SKIPPED_WINDOW:
            self._skipped = self._judged = 0
        if not math.isfinite(values["loss"]) and not values.get("skipped"):
            raise InputError(
                f"loss: not finite {where}; lower learning_rate or lengthen the warm-up, and the "
                f"same command continues from {last}"
            )
        substituted = values.get("substituted", 0.0)
        if substituted > self._options.max_substituted:
            raise InputError(
                f"data: {substituted:.1%} of the records {where} could not be read, more "
                f"than max_substituted={self._options.max_substituted:g}; check the shards, or "
                f"raise the limit; the same command continues from {last}"
            )


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"
