"""The logs of a run, which a continued run goes on writing without duplicates."""

import json
import math
import os
import pathlib
from typing import Any

import tensorflow as tf

from xsample_tf import evaluation
from xsample_tf.files import atomic_file, write_atomic, writing


class Logs:
    """`metrics.jsonl`, a function of the step alone, and TensorBoard, which has the clock as well.

    Args:
        directory: The run's directory.
        step: Step at which this process takes over. What a run that died wrote of later ones goes,
            since those steps are taken again; at 0 that is everything.
        chief: Whether this worker is the one that writes.

    Raises:
        InputError: The directory cannot be written.
    """

    def __init__(self, directory: pathlib.Path, step: int, chief: bool = True):
        self._evaluations: dict[int, dict[str, Any]] = {}
        self._chief = chief
        if not chief:
            return
        self._path = directory / "metrics.jsonl"
        self._board = directory / "tensorboard"
        with writing(self._path):
            lines = _lines_until(self._path, step) if self._path.exists() else []
            write_atomic(self._path, "".join(lines).encode())
            self._evaluations = {
                line["step"]: line["evaluation"]
                for line in map(json.loads, lines)
                if "evaluation" in line
            }
        with writing(self._board):
            for path in sorted(self._board.glob("events.*")):
                _drop_events_after(path, step)
            self._writer = tf.summary.create_file_writer(str(self._board))

    def evaluated(self, step: int) -> bool:
        """Whether there is an evaluation of this step."""
        return step in self._evaluations

    def add_evaluation(self, step: int, values: dict[str, float | None]) -> None:
        """Adds an evaluation of a step, to TensorBoard as well."""
        self._evaluations[step] = values
        self.append({"step": step, "evaluation": values})
        shown = {name: value for name, value in values.items() if value is not None}
        self.draw(step, {f"evaluation/{name}": value for name, value in shown.items()})

    def best(self) -> tuple[int, str, float] | None:
        """Returns step, measure and value of the best evaluation after step 0; None without any."""
        found = None
        for step, values in self._evaluations.items():
            decided = evaluation.deciding(values)
            if step and decided and (found is None or decided[1] > found[2]):
                found = (step, *decided)
        return found

    def append(self, line: dict[str, Any]) -> None:
        """Adds a line to `metrics.jsonl`, onto the disk; what is not finite is null there."""
        if not self._chief:
            return
        line = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in line.items()
        }
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def draw(self, step: int, values: dict[str, float]) -> None:
        """Adds values to TensorBoard."""
        if not self._chief:
            return
        with writing(self._board):
            with self._writer.as_default(step=step):
                for name, value in values.items():
                    tf.summary.scalar(name, value)
            self._writer.flush()


def _lines_until(path: pathlib.Path, step: int) -> list[str]:
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines() if step else []:
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except ValueError:
            break  # The line that a killed process was writing.
    return kept


def _drop_events_after(path: pathlib.Path, step: int) -> None:
    with atomic_file(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
        try:
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                if tf.compat.v1.Event.FromString(record).step <= step:
                    writer.write(record)
        except tf.errors.DataLossError:
            pass  # The record that a killed process was writing.
