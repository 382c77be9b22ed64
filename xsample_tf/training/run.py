"""A training run from its options: data, model, steps, evaluation, export."""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from xsample_tf import data, evaluation
from xsample_tf.errors import InputError
from xsample_tf.export import export
from xsample_tf.files import writing
from xsample_tf.models.distributed_model import DistributedModel
from xsample_tf.training import execution, messages
from xsample_tf.training.distributed.workers import Workers
from xsample_tf.training.initialization import initialize
from xsample_tf.training.interruption import StopSignals
from xsample_tf.training.loop import TrainingLoop
from xsample_tf.training.model import make_optimizer
from xsample_tf.training.objectives import Objective, make_objective
from xsample_tf.training.options import Options
from xsample_tf.training.run_data import (
    check_batch,
    check_microbatches,
    describe_data,
    open_dataset,
    prepare_data,
    total_steps_of,
)
from xsample_tf.training.run_directory import RunDirectory, read_settings
from xsample_tf.training.stream import caption_vectors
from xsample_tf.version import __version__


def train(
    options: Options, log: Callable[[str], None] = print, finish: bool = True
) -> dict[str, Any]:
    """Trains, or continues to train, the run in `options.run_dir`, evaluates it and exports it.

    Args:
        options: The settings of the run.
        log: Where lines for the user go. Defaults to `print`.
        finish: Whether to evaluate and export after the last step. Defaults to True; the same call
            does it later where it was left out.

    Returns:
        The evaluation of the encoder beside the untrained one, as in `results.json`; empty without
        `finish`.

    Raises:
        InputError: The options, the data or the directory cannot be used. Raised before the first
            step, except for a loss that is not finite, data that turns out to be unreadable and
            writes that fail.
        Interrupted: SIGTERM or SIGINT came, and what the run had done is saved.

    Example:
        >>> train(Options(data_dir=("data/flickr8k",), run_dir="runs/first", epochs=10))
    """
    if not options.run_dir:
        raise InputError("run_dir: expected a directory for the run, received none")
    # First, since a worker joins the others before TensorFlow does anything, or not at all.
    workers = Workers(options.strategy, log)
    with workers.watched(), StopSignals(log) as signals:
        return _train(options, workers, signals, finish)


def _train(
    options: Options, workers: Workers, signals: StopSignals, finish: bool
) -> dict[str, Any]:
    log, strategy = workers.log, workers.strategy
    with workers.together():
        if workers.chief:
            prepare_data(options, log)
    with workers.together():
        steps_per_epoch, total_steps, objective = _open(options, strategy.num_replicas_in_sync)
    workers.agree(_facts(options))
    with workers.together():
        directory = RunDirectory(options, log, workers.chief)
    tf.config.experimental.enable_tensor_float_32_execution(options.tf32)
    with directory, execution.dtype_policy_scope(execution.precision_policy(options)):
        description = objective.describe()
        with strategy.scope():
            optimizer, learning_rate = make_optimizer(options, total_steps, steps_per_epoch)
            model = _compiled_model(objective, optimizer)
            with workers.together():
                _start(model, directory, options, log)
        length = messages.describe_length(options, total_steps, steps_per_epoch)
        log(f"{describe_data(options)}; {length}")
        log(messages.describe_model(options, model, learning_rate))
        if description:
            log(description)
        evaluate = _evaluation(objective, model)
        step = TrainingLoop(
            objective, model, directory, total_steps, steps_per_epoch, evaluate, signals, workers
        ).run()
        if not finish:
            return {}
        return workers.from_chief(lambda: _finish(model, directory, options, step, evaluate, log))


def _open(options: Options, replicas: int) -> tuple[int, int, Objective]:
    """Returns the steps of an epoch and of the run, and what it trains for, all of it checked."""
    dataset = open_dataset(options)
    steps_per_epoch = data.steps_per_epoch(options.data_dir, "train", options.batch_size)
    total_steps = total_steps_of(options, steps_per_epoch)
    objective = make_objective(options, dataset)
    check_batch(options, replicas)
    check_microbatches(options, replicas)
    return steps_per_epoch, total_steps, objective


def _compiled_model(objective: Objective, optimizer: keras.Optimizer) -> DistributedModel:
    """Returns the objective's model, ready for `fit`."""
    model = objective.make_model()
    model.compile(
        optimizer,
        objective.make_loss(),
        jit_compile=execution.compile_step(objective.options)[0],
        steps_per_execution=objective.options.steps_per_execution,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def _start(
    model: DistributedModel, directory: RunDirectory, options: Options, log: Callable[[str], None]
) -> None:
    """Takes over the weights that the options name, unless the run has steps of its own."""
    if options.init_from and not directory.has_checkpoints():
        start = initialize(model, options, read_settings, log)
        directory.record("init.json", dataclasses.asdict(start))


def _facts(options: Options) -> dict[str, Any]:
    """What has to be the same on all workers; where the data lies may differ."""
    facts = options.as_flat()
    directories = facts.pop("data_dir")
    for number, directory in enumerate(directories):
        manifest = tf.io.gfile.GFile(os.path.join(directory, "dataset.json"), "rb").read()
        facts[f"dataset.json of data_dir {number}"] = hashlib.sha256(manifest).hexdigest()[:12]
    return facts | {"xsample_tf": __version__, "tensorflow": tf.__version__}


def _evaluation(objective: Objective, model: DistributedModel) -> Callable[..., dict[str, Any]]:
    """Returns `evaluation.evaluate` of this run, with the encoder compiled once."""
    options = objective.options
    return functools.partial(
        evaluation.evaluate,
        evaluation.embedder(model.encoder),
        options.data_dir[0],
        projector=model.projector,
        image_size=options.image_size,
        embedding=caption_vectors(options),
        seed=options.seed,
        **objective.evaluation_settings(),
    )


def _finish(
    model: DistributedModel,
    directory: RunDirectory,
    options: Options,
    step: int,
    evaluate: Callable[..., dict[str, Any]],
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Evaluates the encoder beside the untrained one, and exports it."""
    start = time.perf_counter()
    results = evaluate(baseline=evaluation.untrained(model.encoder, options.seed), log=log)
    directory.write_json("results.json", results)
    log(evaluation.table(results))
    log(f"evaluated in {time.perf_counter() - start:.0f} s")
    target = pathlib.Path(directory.path) / "export"
    card = {
        "name": directory.path.name,
        "xsample_tf": __version__,
        "step": step,
        "settings": json.loads((directory.path / "options.json").read_text(encoding="utf-8")),
        "data": directory.data,
        "scores": results,
    }
    log(f"exporting to {target}")
    with writing(target):
        export(model.encoder, target, options.image_size, card)
    log(usage(target))
    return results


def usage(directory: pathlib.Path) -> str:
    """How to use an export, in three lines."""
    return (
        f"exported to {directory}. Use it with TensorFlow alone:\n"
        "  import tensorflow as tf\n"
        f'  encoder = tf.saved_model.load("{directory / "saved_model"}")\n'
        '  encoder.signatures["embed_jpeg"](tf.constant([open("image.jpg", "rb").read()]))'
        '["embedding"]'
    )
