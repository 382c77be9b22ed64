"""Checkpoints, each a directory that is there whole or not at all.

CHECKPOINTS/step-00001000/    the newest `keep` of them
CHECKPOINTS/epoch-0010/       never removed
CHECKPOINTS/best/             a copy of the one that was evaluated best
    state.index, state.data-* weights, optimizer, random state, the metrics' partial sums
    checkpoint.json           the step, and the checksum of each file
"""

import hashlib
import json
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError, suggest
from xsample_tf.files import atomic_directory, remove_directory, remove_leftovers, writing
from xsample_tf.models.distributed_model import DistributedModel

BEST = "best"
_MANIFEST = "checkpoint.json"
_STATE = "state"


class Checkpoints:
    """The checkpoints of a run.

    One is written beside, read back, and renamed, so that a crash at any moment leaves those
    before it; older ones go after that. With several workers all must call `save`, since
    metrics are added up over replicas, and the chief's is kept.

    Args:
        directory: Where they live; made if missing.
        model: A compiled model whose optimizer is built; it has `encoder` and `projector`.
        keep: How many of the rolling ones stay.

    Attributes:
        newest: The last one written or restored, or None.
        step: Its step, or 0.

    Raises:
        InputError: The directory cannot be written.
    """

    def __init__(self, directory: pathlib.Path, model: DistributedModel, keep: int):
        self._directory, self._model, self._keep = directory, model, keep
        # By place and not as an object graph, which leaves out metrics and random state.
        self._state = tf.train.Checkpoint(
            model=_values(in_order(model)),
            optimizer=_values(model.optimizer.variables),
            metrics=_values(model.metrics_variables),
        )
        self._chief = model.distribute_strategy.extended.should_checkpoint
        self.newest: pathlib.Path | None = None
        self.step = 0
        if self._chief:
            with writing(directory):
                directory.mkdir(exist_ok=True)
                remove_leftovers(directory)

    def save(self, step: int, name: str | None = None) -> pathlib.Path:
        """Writes the state after `step` steps, and removes the rolling ones before the last `keep`.

        Args:
            step: Global steps taken.
            name: Of one that is never removed; None is a rolling one.

        Raises:
            InputError: A weight that is not finite, or a write that failed; the checkpoints
                before it are untouched.
        """
        self._check_finite(step)
        path = self._directory / (name or f"step-{step:08d}")
        self.step = step
        if not self._chief:
            with tempfile.TemporaryDirectory() as unused:
                self._state.write(f"{unused}/{_STATE}")
            self.newest = path
            return path
        with writing(path, f" from {self._last()}"):
            with atomic_directory(path) as temporary:
                self._write(temporary, step)
            self._prune(step)
        self.newest = path
        return path

    @property
    def has_best(self) -> bool:
        """Whether a best one is kept."""
        return (self._directory / BEST).is_dir()

    def keep_best(self) -> None:
        """Keeps a copy of the newest one as `best`, in place of an earlier best one."""
        if self.newest is None:
            raise InputError("checkpoint: expected one to keep as the best, received none yet")
        path = self._directory / BEST
        with writing(path, f" from {self.newest}"), atomic_directory(path) as temporary:
            shutil.copytree(self.newest, temporary, dirs_exist_ok=True)

    def restore(self, log: Callable[[str], None]) -> int:
        """Restores the newest checkpoint that can be read, and returns its step, 0 without any.

        Args:
            log: Gets a line for each that is skipped.

        Raises:
            InputError: A checkpoint of another architecture, or several of which none can be read.
        """
        for step, path in _readable(self._directory, log):
            try:
                self._state.read(str(path / _STATE)).assert_consumed()
            except (AssertionError, ValueError) as error:
                raise InputError(
                    f"checkpoint: {path} does not fit this model ({_first_line(error)}); give the "
                    "settings of its run, or another run_dir"
                ) from None
            self.newest, self.step = path, step
            return step
        return 0

    def _write(self, directory: pathlib.Path, step: int) -> None:
        prefix = str(directory / _STATE)
        self._state.write(prefix)
        reader = tf.train.load_checkpoint(prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)  # Compares TensorFlow's own checksum.
        files = {file.name: _checksum(file) for file in sorted(directory.iterdir())}
        manifest = json.dumps({"step": step, "sha256": files}, indent=1)
        (directory / _MANIFEST).write_text(manifest + "\n", encoding="utf-8")

    def _prune(self, step: int) -> None:
        """Later ones are damaged, and are replaced when the run comes to their step."""
        paths = sorted(self._directory.glob("step-*"))
        passed = [path for path in paths if path.name <= f"step-{step:08d}"]
        for path in passed[: -self._keep]:
            remove_directory(path)

    def _check_finite(self, step: int) -> None:
        for variable in self._model.variables + self._model.optimizer.variables:
            if not tf.as_dtype(variable.dtype).is_floating:
                continue
            if not tf.reduce_all(tf.math.is_finite(variable.value)):
                raise InputError(
                    f"weights: {variable.path} is not finite at step {step}, which is not saved; "
                    "lower learning_rate or lengthen the warm-up, and the same command continues "
                    f"from {self._last()}"
                )

    def _last(self) -> str:
        return str(self.newest or "the beginning")


def restore_encoder(
    directory: pathlib.Path,
    encoder: keras.Layer,
    name: str | None,
    log: Callable[[str], None],
    projector: keras.Layer | None = None,
) -> tuple[str, int]:
    """Restores the encoder of the newest readable checkpoint, or of the one called `name`.

    The projector is restored too, where it is given.

    Returns:
        The checkpoint's name and its step.

    Raises:
        InputError: None there, or none that can be read or that fits the encoder.
    """
    # They are the first ones of the model.
    more = [] if projector is None else projector.variables
    return _restore(directory, [*encoder.variables, *more], name, log)


def restore_model(
    directory: pathlib.Path,
    model: DistributedModel,
    name: str | None,
    log: Callable[[str], None],
) -> tuple[str, int]:
    """Restores all of a model; see `restore_encoder`."""
    return _restore(directory, in_order(model), name, log)


def _restore(
    directory: pathlib.Path,
    variables: list[Any],
    name: str | None,
    log: Callable[[str], None],
) -> tuple[str, int]:
    path, step = find_checkpoint(directory, name, log)
    state = tf.train.Checkpoint(model=_values(variables))
    try:
        status = state.read(str(path / _STATE))
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError) as error:
        raise InputError(
            f"checkpoint: {path} is of another architecture ({_first_line(error)})"
        ) from None
    return path.name, step


def find_checkpoint(
    directory: pathlib.Path, name: str | None, log: Callable[[str], None]
) -> tuple[pathlib.Path, int]:
    """Returns path and step of the newest readable checkpoint, or of the one called `name`.

    Raises:
        InputError: None there, or none that can be read.
    """
    names = sorted(path.name for path in checkpoint_paths(directory))
    if not names or name not in (None, *names):
        raise InputError(
            f"checkpoint: none named {name!r} in {directory}, {suggest(str(name), names)}"
            if names
            else f"checkpoint: none in {directory} yet; its training has not come to the first one"
        )
    if name is None:
        step, path = next(_readable(directory, log))
    else:
        path = directory / name
        step, reason = _inspect(path)
        if reason:
            raise InputError(f"checkpoint: cannot read {path}: {reason}; choose another one")
    return path, int(step)


def _readable(
    directory: pathlib.Path, log: Callable[[str], None]
) -> Iterator[tuple[int, pathlib.Path]]:
    """Step and path of each whole checkpoint, the newest first.

    Raises:
        InputError: There are some, and after those taken there is none left that can be read.
    """
    # One whose step cannot be read comes first, so that it is named.
    found = sorted(
        ((*_inspect(path), path) for path in checkpoint_paths(directory)), key=lambda one: -one[0]
    )
    for step, damage, path in found:
        if damage:
            log(f"skipped checkpoint {path}: {damage}")
        else:
            yield step, path
    if found:
        raise InputError(
            f"checkpoint: none in {directory} can be read; restore one, or remove them to start "
            "over"
        )


def checkpoint_paths(directory: pathlib.Path) -> list[pathlib.Path]:
    """Returns all checkpoints, readable or not, the best one last."""
    return [path for kind in ("step-*", "epoch-*", BEST) for path in directory.glob(kind)]


def _inspect(path: pathlib.Path) -> tuple[float, str]:
    """The step of a checkpoint, infinite where unknown, and what is wrong with it, if anything."""
    step = float("inf")
    try:
        manifest = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
        step, files = int(manifest["step"]), dict(manifest["sha256"])
        for name, checksum in files.items():
            if _checksum(path / name) != checksum:
                return step, f"{name} is not as it was written"
    except FileNotFoundError as error:
        return step, f"{pathlib.Path(error.filename).name} is missing"
    except OSError as error:
        return step, str(error)
    except (KeyError, TypeError, ValueError):
        return step, f"{_MANIFEST} is not as it was written"
    return step, ""


def _checksum(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def in_order(model: DistributedModel) -> list[Any]:
    """Returns all variables of a model: its encoder's first, then its projector's."""
    parts = [part for part in (model.encoder, model.projector) if part is not None]
    first = [variable for part in parts for variable in part.variables]
    known = {id(variable) for variable in first}
    return first + [variable for variable in model.variables if id(variable) not in known]


def _values(variables: list[Any]) -> list[tf.Variable]:
    return [variable.value for variable in variables]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
