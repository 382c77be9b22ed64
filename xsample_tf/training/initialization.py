"""Starting a run from the weights of another: which parts, from which checkpoint."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.models.distributed_model import DistributedModel
from xsample_tf.training.checkpoints import find_checkpoint
from xsample_tf.training.options import Options

# Settings that decide the shapes of each part's variables.
_ARCHITECTURE = {
    "encoder": ("backbone", "small_images"),
    "projector": ("projector_hidden", "projector_dim", "projector_layers"),
    "optimizer": ("optimizer",),
}


@dataclasses.dataclass(frozen=True)
class Start:
    """Where the weights of a run come from, as it is recorded with the run.

    Attributes:
        run: Directory of the run that they are of.
        checkpoint: Name of its checkpoint.
        step: Steps that it had taken.
        parts: What was taken over.
    """

    run: str
    checkpoint: str
    step: int
    parts: tuple[str, ...]


def initialize(
    model: DistributedModel,
    options: Options,
    read_settings: Callable[[pathlib.Path], dict[str, Any]],
    log: Callable[[str], None],
) -> Start:
    """Copies weights of the run that `options.init_from` names into a model.

    The optimizer's slots are taken over, but not its count of steps: the schedule begins anew.

    Args:
        model: Compiled, with a built optimizer.
        options: `init_from`, RUN or RUN:CHECKPOINT, and `init_parts`.
        read_settings: Reads the settings of a run from its directory.
        log: Receives a line.

    Raises:
        InputError: No such run or checkpoint, or one of another architecture.
    """
    run, checkpoint = _split(options.init_from)
    settings = read_settings(run)
    for part in options.init_parts:
        for name in _ARCHITECTURE[part]:
            old, new = settings.get(name), getattr(options, name)
            if name in settings and old != new:
                raise InputError(
                    f"{name}: expected {old!r}, as in {run}, whose {part} init_from takes over, "
                    f"received {new!r}; leave {part} out of init_parts, or set --{name}={old}"
                )
    path, step = find_checkpoint(run / "checkpoints", checkpoint, log)
    reader = tf.train.load_checkpoint(str(path / "state"))
    encoder = model.encoder.variables
    for part in options.init_parts:
        if part == "encoder":
            _copy(reader, "model", 0, encoder, path)
        elif part == "projector":
            _copy(reader, "model", len(encoder), model.projector.variables, path)
        else:
            _copy_optimizer(reader, model.optimizer, path)
    log(f"starting from {path}, step {step}: {', '.join(options.init_parts)}")
    return Start(str(run.resolve()), path.name, step, options.init_parts)


def _split(text: str) -> tuple[pathlib.Path, str | None]:
    """The run and the checkpoint in RUN or RUN:CHECKPOINT."""
    run, colon, checkpoint = text.rpartition(":")
    if (pathlib.Path(text) / "options.json").is_file() or not colon:
        run, checkpoint = text, ""
    path = pathlib.Path(run)
    if not (path / "options.json").is_file():
        raise InputError(
            f"init_from: expected RUN or RUN:CHECKPOINT of tools/train.py, received {text!r}; "
            f"there is no options.json in {path}"
        )
    return path, checkpoint or None


def _copy(
    reader: Any, kind: str, first: int, variables: Sequence[keras.Variable], path: pathlib.Path
) -> None:
    """Copies the values that stand at places from `first` on into variables."""
    shapes = reader.get_variable_to_shape_map()
    keys = [f"{kind}/{first + i}/.ATTRIBUTES/VARIABLE_VALUE" for i in range(len(variables))]
    for key, variable in zip(keys, variables, strict=True):
        if shapes.get(key) != list(variable.shape):
            raise InputError(
                f"init_from: {path} is of another architecture: expected {list(variable.shape)} "
                f"for {variable.path}, received {shapes.get(key, 'nothing')}"
            )
    for key, variable in zip(keys, variables, strict=True):
        variable.assign(reader.get_tensor(key))


def _copy_optimizer(reader: Any, optimizer: keras.Optimizer, path: pathlib.Path) -> None:
    _copy(reader, "optimizer", 0, optimizer.variables, path)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    inner.iterations.assign(0)
