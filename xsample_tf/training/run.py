"""A training run from its options: data, model, steps, evaluation, export."""

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

from xsample_tf import evaluation
from xsample_tf.errors import InputError
from xsample_tf.export import caption_side, export
from xsample_tf.files import writing
from xsample_tf.models.distributed_model import DistributedModel
from xsample_tf.training import execution, messages
from xsample_tf.training.checkpoints import BEST, restore_model
from xsample_tf.training.distributed.workers import Workers
from xsample_tf.training.initialization import begin_encoder, begin_parts, start_run
from xsample_tf.training.interruption import StopSignals
from xsample_tf.training.loop import TrainingLoop
from xsample_tf.training.model import START_PROJECTOR, make_optimizer, read_start
from xsample_tf.training.objectives import Objective, make_objective
from xsample_tf.training.optimizers.rates import decay_by_layer
from xsample_tf.training.options import Options
from xsample_tf.training.run_data import (
    check_batch,
    check_microbatches,
    describe_data,
    open_dataset,
    prepare_data,
    read_records_once,
    steps_per_epoch,
    total_steps_of,
)
from xsample_tf.training.run_directory import RunDirectory, check_vocabulary
from xsample_tf.training.stream import caption_vectors
from xsample_tf.training.trained.exported import captions_of, said_once
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
        The evaluation of the encoder beside what it started from, or an untrained one, as in
        `results.json`; empty without `finish`.

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
            read_records_once(options, log)
    with workers.together():
        per_epoch, total_steps, objective = _open(options, strategy.num_replicas_in_sync)
    workers.agree(_facts(options))
    with workers.together():
        directory = RunDirectory(options, log, workers.chief)
    tf.config.experimental.enable_tensor_float_32_execution(options.tf32)
    with directory, execution.dtype_policy_scope(execution.precision_policy(options)):
        description = objective.describe()
        begins = options.init_from and not directory.has_checkpoints()
        with workers.together():
            if begins and options.takes_encoder and workers.chief:
                begin_encoder(options, directory, log)
        with strategy.scope():
            optimizer, learning_rate = make_optimizer(options, total_steps, per_epoch)
            model, rates = _compiled_model(objective, optimizer)
            with workers.together():
                if begins:
                    _begin_parts(model, directory, options, log)
        length = messages.describe_length(options, total_steps, per_epoch)
        log(f"{describe_data(options)}; {length}")
        log(messages.describe_model(options, model, learning_rate))
        for line in (messages.describe_frozen(options, model), rates, description):
            if line:
                log(line)
        evaluate = _evaluation(objective, model)
        step = TrainingLoop(
            objective, model, directory, total_steps, per_epoch, evaluate, signals, workers
        ).run()
        if not finish:
            return {}
        return workers.from_chief(lambda: _finish(model, objective, directory, step, evaluate, log))


def _open(options: Options, replicas: int) -> tuple[int, int, Objective]:
    """Returns the steps of an epoch and of the run, and what it trains for, all of it checked."""
    dataset = open_dataset(options)
    per_epoch = steps_per_epoch(options)
    total_steps = total_steps_of(options, per_epoch)
    objective = make_objective(options, dataset)
    check_batch(options, replicas)
    check_microbatches(options, replicas)
    return per_epoch, total_steps, objective


def _compiled_model(
    objective: Objective, optimizer: keras.Optimizer
) -> tuple[DistributedModel, str]:
    """Returns the objective's model, ready for `fit`, and how its rates differ, in words."""
    model = objective.make_model()
    decay = objective.options.layer_decay
    rates = decay_by_layer(optimizer, model.encoder, decay) if decay < 1 else ""
    model.compile(
        optimizer,
        objective.make_loss(),
        jit_compile=execution.compile_step(objective.options)[0],
        steps_per_execution=objective.options.steps_per_execution,
    )
    model.optimizer.build(model.trainable_variables)
    return model, rates


def _begin_parts(
    model: DistributedModel, directory: RunDirectory, options: Options, log: Callable[[str], None]
) -> None:
    """Takes over what else than the encoder the options name."""
    run = start_run(options.init_from)
    if run is not None and "text" in options.init_parts:
        check_vocabulary(str(run), open_dataset(options))
    begin_parts(model, options, directory, log)


def _facts(options: Options) -> dict[str, Any]:
    """What has to be the same on all workers; where the data lies may differ."""
    facts = options.as_flat()
    directories = facts.pop("data_dir")
    for number, directory in enumerate(directories):
        manifest = tf.io.gfile.GFile(os.path.join(directory, "dataset.json"), "rb").read()
        facts[f"dataset.json of data_dir {number}"] = hashlib.sha256(manifest).hexdigest()[:12]
    return facts | {"xsample_tf": __version__, "tensorflow": tf.__version__}


def _evaluation(
    objective: Objective, model: DistributedModel
) -> Callable[..., evaluation.Evaluation]:
    """Returns the evaluation of this run's encoder, which is compiled once.

    The arguments left are those of `_evaluate`.
    """
    encoder = evaluation.embedder(model.encoder)
    return functools.partial(_evaluate, objective, model, encoder)


def _evaluate(
    objective: Objective,
    model: DistributedModel,
    encoder: evaluation.Embed,
    log: Callable[[str], None],
    limit: int | None = None,
    **baseline: Any,
) -> evaluation.Evaluation:
    """Returns the scores of the encoder on the first data directory, beside a baseline.

    The latter is given as `_baseline` returns it.
    """
    options = objective.options
    settings = {
        "image_size": options.image_size,
        "embedding": caption_vectors(options),
        "seed": options.seed,
        **objective.evaluation_settings(),
    }
    # A classifier is no projector, as its objective says.
    projector = settings.pop("projector", model.projector)
    return evaluation.run_tasks(
        encoder,
        [evaluation.DATA_DIRECTORY],
        evaluation.Settings(options.data_dir[0], limit=limit, log=log, **settings),
        projector=projector,
        text_embedder=objective.text_embedder(model),
        **baseline,
    )


def _finish(
    model: DistributedModel,
    objective: Objective,
    directory: RunDirectory,
    step: int,
    evaluate: Callable[..., evaluation.Evaluation],
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Evaluates the encoder beside what it started from, else an untrained one, and exports it.

    Then writes the report.
    """
    options, start = objective.options, time.perf_counter()
    checkpoints = directory.path / "checkpoints"
    if options.export == BEST and not (checkpoints / BEST).is_dir():
        log("exporting the last checkpoint: without captions and labels none is known as best")
    elif options.export == BEST:
        _, step = restore_model(checkpoints, model, BEST, log)
        log(f"evaluating and exporting the best checkpoint, of step {step:,}")
    found = evaluate(**_baseline(model, directory, options), log=log)
    results = found.as_dict()
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
    say = said_once(log)  # Both may lack the same text encoder.
    texts = objective.text_side(model, say)
    if texts is None and found.caption_map is not None:
        texts = caption_side(found.caption_map, captions_of(options), say)
    with writing(target):
        export(model.encoder, target, options.image_size, card, texts)
    log(messages.describe_export(target, texts))
    # Last: a run whose report cannot be written is exported nevertheless.
    path = directory.path
    written = evaluation.write_report(path, found, str(path), path, log=log)
    log(f"report: {path / written[-1]}")
    return results


def _baseline(model: DistributedModel, directory: RunDirectory, options: Options) -> dict[str, Any]:
    """Returns what the run is compared with: what it started from, else fresh weights."""
    encoder = read_start(str(directory.path)) if options.takes_encoder else None
    if encoder is None:
        return {"baseline": evaluation.untrained(model.encoder, options.seed)}
    return {
        "baseline": encoder,
        "baseline_name": evaluation.START,
        "baseline_projector": read_start(str(directory.path), START_PROJECTOR),
    }
