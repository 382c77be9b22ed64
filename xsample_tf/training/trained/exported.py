"""Export of a run, finished or not."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

from xsample_tf import evaluation, text
from xsample_tf.data.manifest import CaptionVectors
from xsample_tf.export import caption_side, export
from xsample_tf.training.checkpoints import restore_model
from xsample_tf.training.objectives import make_objective
from xsample_tf.training.options import Options
from xsample_tf.training.run_data import open_dataset
from xsample_tf.training.run_directory import check_vocabulary, load_encoder
from xsample_tf.training.stream import caption_vectors


def export_run(
    run_dir: str,
    directory: str | os.PathLike,
    checkpoint: str | None = None,
    log: Callable[[str], None] = print,
    caption_map: bool = False,
) -> dict[str, Any]:
    """Exports what a run has trained, finished or not.

    Args:
        run_dir: What `train` wrote.
        directory: As for `xsample_tf.export.export`.
        checkpoint: As for `load_encoder`.
        log: Receives lines for the user. Defaults to `print`.
        caption_map: Whether to fit the map from images to captions too, by which an image encoder
            is searched: it reads all images of the data, as the end of a run does. A model of two
            towers needs none. Defaults to False.

    Returns:
        The run's settings, with "checkpoint" and "step", what was exported.

    Raises:
        InputError: As for `load_encoder` and `xsample_tf.export.export`; or the data is not there
            that a text tower or the map needs, or has no captions for it.

    Example:
        >>> export_run("runs/first", "exports/early", "epoch-0010")["step"]
        1000
    """
    log = said_once(log)  # Text side and caption map may lack the same text encoder.
    encoder, settings = load_encoder(run_dir, checkpoint, log)
    options, texts = Options.from_flat(settings | {"run_dir": run_dir}), None
    if options.text_tower:
        dataset = open_dataset(options)
        check_vocabulary(run_dir, dataset)
        objective = make_objective(options, dataset)
        model = objective.make_model()
        checkpoints = pathlib.Path(run_dir) / "checkpoints"
        restore_model(checkpoints, model, settings["checkpoint"], log)
        texts = objective.text_side(model, log)
    if caption_map and texts is None:
        captions = captions_of(options)
        fitted = evaluation.map_to_captions(
            encoder, options.data_dir[0], options.image_size, captions, options.seed, log
        )
        texts = caption_side(fitted, captions, log)
    named = {name: settings[name] for name in ("checkpoint", "step")}
    rest = {name: value for name, value in settings.items() if name not in named}
    card = {"run": run_dir, **named, "settings": rest}
    export(encoder, directory, options.image_size, card, texts)
    return settings


def captions_of(options: Options) -> CaptionVectors | text.TextEncoder:
    """Returns what the run's caption vectors are of."""
    captions = caption_vectors(options)
    if captions is None or isinstance(captions, str):
        return open_dataset(options).encoder(captions)
    return captions


def said_once(log: Callable[[str], None]) -> Callable[[str], None]:
    """Returns a log that passes over lines that it has had already."""
    said: set[str] = set()

    def say(line: str) -> None:
        if line not in said:
            said.add(line)
            log(line)

    return say
