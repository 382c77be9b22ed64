"""The directory in which a run lives: its settings, checkpoints and logs."""

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from xsample_tf import models
from xsample_tf.errors import InputError, suggest
from xsample_tf.training import assemble
from xsample_tf.training.options import Options


class RunDirectory:
    """Paths and files of one run.

    Attributes:
        path: The directory.
        options: The settings of the run.
    """

    def __init__(self, options: Options, log: Callable[[str], None] = print):
        """Begins or continues the run in `options.run_dir`.

        Raises:
            InputError: The directory cannot be written, or the run in it began with settings that
                lead to another result and are not named in `allow_changed`.
        """
        self.path = pathlib.Path(options.run_dir)
        self.options = options
        self._settings = self.path / "options.json"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if self._settings.exists():
                _judge_changes(_read_settings(self._settings), options, log)
            self._settings.write_text(_dump(dataclasses.asdict(options)), encoding="utf-8")
            (self.path / "run.flags").write_text(_as_flags(options), encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"run_dir: expected a directory that can be written, received {str(self.path)!r}: "
                f"{error.strerror}"
            ) from None

    def checkpoints(self, model: keras.Model) -> tf.train.CheckpointManager:
        """Rolling checkpoints of the model, its optimizer and its metrics' partial sums."""
        return tf.train.CheckpointManager(
            _checkpoint(model), str(self.path / "checkpoints"), max_to_keep=self.options.keep
        )

    def restore(self, manager: tf.train.CheckpointManager, model: keras.Model) -> int:
        """Restores the newest checkpoint, if any, and returns its step.

        Raises:
            InputError: The checkpoint is of another architecture, or unreadable.
        """
        latest = manager.latest_checkpoint
        if latest is None:
            return 0
        try:
            manager.checkpoint.restore(latest).assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise InputError(
                f"checkpoint: {latest} does not fit this model ({_first_line(error)}); give the "
                "settings of its run, or another run_dir"
            ) from None
        return int(model.optimizer.iterations.numpy())

    def keep(self, model: keras.Model, epoch: int) -> str:
        """Writes a checkpoint that is never removed, and returns its name."""
        name = f"epoch-{epoch:04d}"
        _checkpoint(model).write(str(self.path / "checkpoints" / name))
        return name

    def write_json(self, name: str, content: Any) -> None:
        """Writes a JSON file of the run whole, or not at all."""
        path = self.path / name
        aside = path.with_suffix(".partial")
        aside.write_text(_dump(content), encoding="utf-8")
        aside.replace(path)


def load_encoder(run_dir: str, checkpoint: str | None = None) -> tuple[keras.Model, dict[str, Any]]:
    """The encoder of a run, with the run's settings.

    Args:
        run_dir: What `train` wrote.
        checkpoint: Name of a kept checkpoint such as "epoch-0010"; None takes the newest.

    Returns:
        The encoder, images `[B, H, W, 3]` in [0, 1] to `[B, D]`, and the settings by name.

    Raises:
        InputError: No run or no checkpoint there.

    Example:
        >>> encoder, settings = load_encoder("runs/flickr8k")
    """
    path = pathlib.Path(run_dir)
    if not (path / "options.json").is_file():
        raise InputError(f"run_dir: expected a run of tools/train.py, received {run_dir!r}")
    settings = _read_settings(path / "options.json")
    names = sorted(file.stem for file in (path / "checkpoints").glob("*.index"))
    if not names or checkpoint not in (None, *names):
        raise InputError(
            f"checkpoint: none named {checkpoint!r} in {run_dir}, {suggest(str(checkpoint), names)}"
            if names
            else f"checkpoint: none in {run_dir} yet; its training has not come to the first one"
        )
    if checkpoint is None:
        prefix = tf.train.latest_checkpoint(str(path / "checkpoints"))
    else:
        prefix = str(path / "checkpoints" / checkpoint)
    model = assemble.make_model(Options(**settings))
    tf.train.Checkpoint(model=model).restore(prefix).expect_partial()
    return model.encoder, settings


def _checkpoint(model: models.XSampleModel) -> tf.train.Checkpoint:
    return tf.train.Checkpoint(model=model, optimizer=model.optimizer)


def _as_flags(options: Options) -> str:
    """The settings as a flagfile for tools/train.py, which re-runs as it is."""
    lines = []
    for name, value in dataclasses.asdict(options).items():
        if isinstance(value, bool):
            lines.append(f"--{name}" if value else f"--no{name}")
        elif value is not None:
            text = ",".join(value) if isinstance(value, tuple) else value
            lines.append(f"--{name}={text}")
    return "\n".join(lines) + "\n"


def _dump(content: Any) -> str:
    return json.dumps(content, indent=2) + "\n"


def _read_settings(path: pathlib.Path) -> dict[str, Any]:
    settings = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }


def _judge_changes(previous: dict[str, Any], options: Options, log: Callable[[str], None]) -> None:
    """Shows what differs from the run's beginning, and stops at what would change its result."""
    refused = []
    for field in dataclasses.fields(Options):
        old, new = previous.get(field.name, field.default), getattr(options, field.name)
        if old == new or field.name in ("run_dir", "allow_changed"):
            continue
        log(f"changed since this run began: {field.name} was {old!r}, is {new!r}")
        if field.metadata["changes_result"] and field.name not in options.allow_changed:
            refused.append(f"{field.name} (was {old!r}, is {new!r})")
    if refused:
        raise InputError(
            f"run_dir: {options.run_dir} began with other settings: {', '.join(refused)}; use "
            "another run_dir, or name what may change in allow_changed"
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
