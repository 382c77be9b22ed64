"""The checkpoints of a run as candidates of an evaluation."""

import pathlib
from collections.abc import Callable
from typing import Any, Literal

import keras

from xsample_tf import evaluation
from xsample_tf.errors import InputError
from xsample_tf.training.checkpoints import (
    checkpoint_paths,
    find_checkpoint,
    restore_encoder,
    restore_model,
)
from xsample_tf.training.model import START_PROJECTOR, make_encoder, make_projector, read_start
from xsample_tf.training.objectives import make_objective
from xsample_tf.training.options import Options
from xsample_tf.training.run_data import open_dataset
from xsample_tf.training.run_directory import check_vocabulary, load_encoder, read_settings

Layer = Literal["encoder", "projection"]


def load_candidate(
    run_dir: str,
    checkpoint: str | None = None,
    layer: Layer = "encoder",
    log: Callable[[str], None] = print,
) -> tuple[evaluation.Candidate, dict[str, Any]]:
    """Returns what a run has trained, for an evaluation.

    Args:
        run_dir: What `train` wrote.
        checkpoint: As for `load_encoder`. Defaults to None.
        layer: Whether the encoder's output is evaluated, the default, or the projector's. The
            towers of image and text, where there are two, are so in both cases.
        log: Gets a line for each checkpoint that is skipped, and where the text tower is left out.
            Defaults to `print`.

    Returns:
        The candidate, and the settings as `load_encoder` gives them.

    Raises:
        InputError: As for `load_encoder`; or the run has no projector whose output could be taken.

    Example:
        >>> candidate, settings = load_candidate("runs/first", "epoch-0010", "projection")
        >>> evaluation.compare({"projection": candidate}, ["shards"], evaluation.Settings(data))
    """
    path = pathlib.Path(run_dir)
    if not (path / "options.json").is_file():
        load_encoder(run_dir, checkpoint, log)  # Which says what is missing.
    settings = read_settings(path)
    options = Options.from_flat(settings | {"run_dir": run_dir})
    if not options.projector_dim:
        if layer == "projection":
            raise InputError(
                f"layer: expected encoder, since objective {options.objective!r} of {run_dir} has "
                "no projector, received 'projection'"
            )
        encoder, settings = load_encoder(run_dir, checkpoint, log)
        return evaluation.Candidate(encoder), settings
    candidate, (name, step) = _restored(path, options, checkpoint, log)
    if layer == "projection":
        both = _behind(candidate.encoder, candidate.projector)
        candidate = evaluation.Candidate(both, None, candidate.text_embedder)
    return candidate, settings | {"checkpoint": name, "step": step}


def load_start(
    run_dir: str, candidate: evaluation.Candidate, layer: Layer = "encoder", seed: int = 0
) -> tuple[evaluation.Candidate, str]:
    """Returns what a run is compared with, and its name in the results.

    Args:
        run_dir: What `train` wrote.
        candidate: What `load_candidate` gave of any of its checkpoints.
        layer: As for `load_candidate`.
        seed: Of fresh weights.

    Returns:
        The weights that the run started from, else fresh ones.
    """
    encoder = read_start(run_dir)
    if encoder is None:
        fresh = evaluation.untrained(candidate.encoder, seed)
        return evaluation.Candidate(fresh), evaluation.UNTRAINED
    projector = read_start(run_dir, START_PROJECTOR)
    if layer == "encoder":
        return evaluation.Candidate(encoder, projector), evaluation.START
    if projector is None:
        projector = evaluation.untrained(candidate.encoder.layers[-1], seed)
    return evaluation.Candidate(_behind(encoder, projector)), evaluation.START


def checkpoints_of(run_dir: str, log: Callable[[str], None] = print) -> dict[str, str]:
    """Returns the checkpoints of a run that can be read, by their steps.

    Args:
        run_dir: What `train` wrote.
        log: Gets a line for each that is skipped. Defaults to `print`.

    Returns:
        By what to call it, as "epoch-0002 = best" where several are of one step, the name of one.

    Raises:
        InputError: No run there, or no checkpoint.
    """
    directory = pathlib.Path(run_dir) / "checkpoints"
    found: dict[int, list[str]] = {}
    for path in checkpoint_paths(directory):
        try:
            step = find_checkpoint(directory, path.name, log)[1]
            found.setdefault(step, []).append(path.name)
        except InputError as error:
            log(f"left out: {error}")
    if not found:
        find_checkpoint(directory, None, log)  # Which says what is missing.
    return {" = ".join(found[step]): found[step][0] for step in sorted(found)}


def _restored(
    path: pathlib.Path, options: Options, checkpoint: str | None, log: Callable[[str], None]
) -> tuple[evaluation.Candidate, tuple[str, int]]:
    """Encoder, projector and text tower of a checkpoint, with its name and step."""
    checkpoints = path / "checkpoints"
    if options.text_tower:
        try:
            dataset = open_dataset(options)
            check_vocabulary(str(path), dataset)
            objective = make_objective(options, dataset)
        except InputError as error:  # The data may be elsewhere.
            log(f"the text tower of {path} is left out: {error}")
        else:
            model = objective.make_model()
            found = restore_model(checkpoints, model, checkpoint, log)
            tower = objective.text_embedder(model)
            return evaluation.Candidate(model.encoder, model.projector, tower), found
    encoder = make_encoder(options)
    projector = make_projector(options, encoder.output_shape[-1])
    found = restore_encoder(checkpoints, encoder, checkpoint, log, projector)
    return evaluation.Candidate(encoder, projector), found


def _behind(encoder: keras.Model, projector: keras.Model) -> keras.Model:
    """Images to the projector's output."""
    images = keras.Input(encoder.input_shape[1:], name="images")
    return keras.Model(images, projector(encoder(images)), name="projection")
