"""Starting a run from weights that exist: an encoder of any kind, or parts of another run."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.files import publish, writing
from xsample_tf.models import pretrained
from xsample_tf.models.distributed_model import DistributedModel
from xsample_tf.training.checkpoints import find_checkpoint, in_order
from xsample_tf.training.model import START_ENCODER, START_PROJECTOR, open_start
from xsample_tf.training.options import Options
from xsample_tf.training.run_directory import RunDirectory, load_encoder, read_settings

# Settings that decide the shapes of each part's variables, or what is made of them.
_ARCHITECTURE = {
    "encoder": ("backbone", "small_images"),
    "projector": ("projector_hidden", "projector_dim", "projector_layers"),
    "text": ("text_tower", "text_heads"),
    "optimizer": ("optimizer",),
}


@pretrained.register("run")
class Run(pretrained.Kind):
    """A run of tools/train.py, by its newest checkpoint or a kept one."""

    form = "RUN or RUN:CHECKPOINT"

    @classmethod
    def takes(cls, spec: str) -> bool:
        """Whether there is a run."""
        return (_split(spec)[0] / "options.json").is_file()

    @classmethod
    def load(cls, request: pretrained.Request) -> pretrained.Pretrained:
        """Loads the encoder of the checkpoint."""
        run, checkpoint = _split(request.spec)
        encoder, settings = load_encoder(str(run), checkpoint, request.log)
        facts = {
            "run": str(run.resolve()),
            "checkpoint": settings["checkpoint"],
            "step": settings["step"],
        }
        source = f"{run / 'checkpoints' / settings['checkpoint']}, step {settings['step']}"
        return pretrained.Pretrained(
            encoder, source, "takes pixels in [0, 1]", "pools as it was trained", facts
        )


def begin_encoder(options: Options, directory: RunDirectory, log: Callable[[str], None]) -> None:
    """Keeps the encoder that a run starts from in its directory, before its model is made.

    Args:
        options: `init_from`, with the encoder among `init_parts`.
        directory: Of the run, entered, and without checkpoints.
        log: Receives a line that says what was loaded.

    Raises:
        InputError: The source cannot be used; see `models.load_encoder`.
    """
    parts = taken_parts(options)
    if Run.takes(options.init_from):
        check_settings(options, read_settings(_split(options.init_from)[0]))
    found = open_start(options, log)
    log(f"starting from {found.source}: {', '.join(parts)}; {found.describe()}")
    _write(found.encoder, directory, START_ENCODER)
    facts = {"preprocessing": found.preprocessing, "pooling": found.pooling, **found.facts}
    directory.record("init.json", {"init_from": options.init_from, **facts, "parts": parts})


def begin_parts(
    model: DistributedModel, options: Options, directory: RunDirectory, log: Callable[[str], None]
) -> None:
    """Copies what else the options take over of a run into a model, whose encoder is there.

    The optimizer's slots are taken over, but not its count of steps: the schedule begins anew. The
    projector is kept in the run's directory, to compare later ones with.

    Args:
        model: Compiled, with a built optimizer.
        options: `init_from` and `init_parts`.
        directory: Of the run, entered, and without checkpoints.
        log: Receives a line.

    Raises:
        InputError: No such run or checkpoint, or one of another architecture.
    """
    parts = taken_parts(options)
    if Run.takes(options.init_from):
        run, checkpoint = _split(options.init_from)
        check_settings(options, read_settings(run))
        path, step = find_checkpoint(run / "checkpoints", checkpoint, log)
        _copy_parts(model, parts, path)
        if not options.takes_encoder:
            log(f"starting from {path}, step {step}: {', '.join(parts)}")
            facts = {"run": str(run.resolve()), "checkpoint": path.name, "step": step}
            directory.record("init.json", {"init_from": options.init_from, **facts, "parts": parts})
    if options.takes_encoder and model.projector is not None:
        _write(model.projector, directory, START_PROJECTOR)


def taken_parts(options: Options) -> tuple[str, ...]:
    """Returns what is taken over: of a run what `init_parts` says, else the encoder alone.

    Raises:
        InputError: Something other than a run is to give what only a run has.
    """
    if pretrained.kind_of(options.init_from) is Run:
        return options.init_parts
    lacking = sorted(set(options.init_parts) - {"encoder", "projector"})
    if lacking or not options.takes_encoder:
        raise InputError(
            f"init_parts: expected encoder with init_from={options.init_from}, which is no run, "
            f"received {', '.join(options.init_parts)}"
        )
    return ("encoder",)


def check_settings(options: Options, settings: dict[str, Any]) -> None:
    """Raises `InputError` where settings would make another architecture than a run's."""
    ours = options.as_flat()
    for part in options.init_parts:
        # What has no name of its own is compared layer by layer.
        if part == "encoder" and not (options.backbone and settings.get("backbone")):
            continue
        for name in _ARCHITECTURE[part]:
            old, new = settings.get(name), ours.get(name)
            if name in settings and old != new:
                raise InputError(
                    f"{name}: expected {old!r}, as in {options.init_from}, whose {part} init_from "
                    f"takes over, received {new!r}; leave {part} out of init_parts, or set "
                    f"--{name}={old}"
                )


def start_run(text: str) -> pathlib.Path | None:
    """Returns the directory of the run that `init_from` names; None where it names no run."""
    return _split(text)[0] if Run.takes(text) else None


def _split(text: str) -> tuple[pathlib.Path, str | None]:
    """The run and the checkpoint in RUN, RUN:CHECKPOINT or RUN/checkpoints/CHECKPOINT."""
    path = pathlib.Path(text)
    if path.parent.name == "checkpoints" and path.is_dir():
        return path.parent.parent, path.name
    run, colon, checkpoint = text.rpartition(":")
    if (path / "options.json").is_file() or not colon:
        return path, None
    return pathlib.Path(run), checkpoint or None


def _write(model: keras.Model, directory: RunDirectory, name: str) -> None:
    path = directory.path / name
    if directory.chief:
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            temporary = path.with_name(f".{path.name}")  # Keras wants the ending.
            model.save(temporary)
            publish(temporary, path)


def _copy_parts(model: DistributedModel, parts: Sequence[str], path: pathlib.Path) -> None:
    """Copies the parts of a checkpoint into a model, all but its encoder."""
    reader = tf.train.load_checkpoint(str(path / "state"))
    variables, begin = in_order(model), 0
    projector = [] if model.projector is None else model.projector.variables
    for part, count in (
        ("encoder", len(model.encoder.variables)),
        ("projector", len(projector)),
        ("text", len(variables)),
    ):
        if part in parts and part != "encoder":
            _copy(reader, "model", begin, variables[begin : begin + count], path)
        begin += count
    if "optimizer" in parts:
        _copy(reader, "optimizer", 0, model.optimizer.variables, path)
        inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        inner.iterations.assign(0)


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
