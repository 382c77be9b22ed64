"""A training run from its options: data, model, fit, evaluation, export."""

import dataclasses
import functools
import hashlib
import json
import math
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from xsample_tf import data, evaluation, models, text
from xsample_tf.data.manifest import read_manifest
from xsample_tf.errors import InputError
from xsample_tf.export import export
from xsample_tf.files import writing
from xsample_tf.training import build, messages, precision
from xsample_tf.training.callbacks import LogIntervals
from xsample_tf.training.checkpoints import Checkpoints
from xsample_tf.training.distributed.workers import Workers
from xsample_tf.training.interruption import Interrupted, StopSignals
from xsample_tf.training.logs import Logs
from xsample_tf.training.options import Options
from xsample_tf.training.run_directory import RunDirectory
from xsample_tf.version import __version__

# Of what a run prepares itself: small data, whose figures need some hundreds of images.
_VALIDATION_FRACTION = 0.2


def train(options: Options, log: Callable[[str], None] = print) -> dict[str, Any]:
    """Trains, or continues to train, the run in `options.run_dir`, evaluates it and exports it.

    Args:
        options: The settings of the run.
        log: Where lines for the user go.

    Returns:
        The evaluation of the encoder beside the untrained one, as in `results.json`.

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
    with workers.watched():
        return _train(options, workers)


def _train(options: Options, workers: Workers) -> dict[str, Any]:
    log, strategy = workers.log, workers.strategy
    with workers.together():
        if workers.chief:
            _prepare(options, log)
    with workers.together():
        dataset = open_dataset(options)
        steps_per_epoch = data.steps_per_epoch(options.data_dir, "train", options.batch_size)
        total_steps = build.total_steps_of(options, steps_per_epoch)
        graph = build.make_graph(options, dataset)
        replicas = strategy.num_replicas_in_sync
        build.check_batch(options, replicas)
        build.check_microbatches(options, replicas)
        compiled, why = build.compile_step(options)
    workers.agree(_facts(options))
    with workers.together():
        directory = RunDirectory(options, log, workers.chief)
    tf.config.experimental.enable_tensor_float_32_execution(options.tf32)
    policy = precision.precision_policy(options)

    with StopSignals() as signals, directory, precision.dtype_policy_scope(policy):
        temperature, summary = build.choose_target_temperature(options, graph, dataset)
        with strategy.scope():
            model = build.make_model(options)
            optimizer, learning_rate = build.make_optimizer(options, total_steps, steps_per_epoch)
            model.compile(
                optimizer,
                build.make_loss(options, graph, temperature),
                jit_compile=compiled,
                steps_per_execution=options.steps_per_execution,
            )
            model.optimizer.build(model.trainable_variables)
        log(
            f"{_describe_data(options)}; "
            f"{messages.describe_length(options, total_steps, steps_per_epoch)}"
        )
        log(
            f"model: {options.backbone}, {model.count_params() / 1e6:.1f} M weights with its "
            f"projector; {options.optimizer}, peak learning rate {learning_rate:g}; {policy}; "
            f"{replicas} replica{'s' if replicas > 1 else ''}; "
            f"{messages.describe_compilation(model, why)}"
        )
        log(messages.describe_target(summary, options))
        evaluate = _evaluation(model, options, temperature)
        step = _fit(
            model, directory, options, total_steps, steps_per_epoch, evaluate, signals, workers
        )
        return workers.from_chief(
            lambda: _finish(model, directory, options, dataset, step, evaluate, log)
        )


def _facts(options: Options) -> dict[str, Any]:
    """What has to be the same on all workers; where the data lies may differ."""
    facts = dataclasses.asdict(options)
    directories = facts.pop("data_dir")
    for number, directory in enumerate(directories):
        manifest = tf.io.gfile.GFile(os.path.join(directory, "dataset.json"), "rb").read()
        facts[f"dataset.json of data_dir {number}"] = hashlib.sha256(manifest).hexdigest()[:12]
    return facts | {"xsample_tf": __version__, "tensorflow": tf.__version__}


def _prepare(options: Options, log: Callable[[str], None]) -> None:
    """Prepares the data where a source is given and the data is not there yet."""
    if not options.data_dir:
        return
    first = options.data_dir[0]
    # A preparation that was killed may have left images without captions' vectors.
    there = tf.io.gfile.exists(os.path.join(first, "dataset.json"))
    if options.source and not (there and data.read_dataset(first).encoders):
        log(f"preparing {first} from {options.source}")
        data.prepare(
            options.source,
            first,
            encoders=[text.load_encoder(options.text_encoder)],
            options=data.SourceOptions(validation_fraction=_VALIDATION_FRACTION),
        )


def _describe_data(options: Options) -> str:
    """Where the images are and how many, and what several directories do not share."""
    sets = [read_manifest(directory) for directory in options.data_dir]
    images = sum(dataset.records("train") for dataset in sets)
    text = f"data: {', '.join(options.data_dir)}, {images} images"
    if len(sets) == 1:
        return text
    text += f", evaluated on {options.data_dir[0]}"
    if not options.encode_captions and all(dataset.encoders for dataset in sets):
        handles = [dataset.encoder(options.embedding or None).handle for dataset in sets]
        if len(set(handles)) > 1:
            text += f" (warning: caption vectors are from {', '.join(handles)})"
    return text


def open_dataset(options: Options) -> data.Dataset:
    """The data; one that stands for all directories."""
    if not options.data_dir:
        raise InputError("data_dir: expected a directory that tools/prepare_data.py wrote")
    first = options.data_dir[0]
    dataset = data.read_dataset(first)
    if not dataset.splits.get("val"):
        raise InputError(
            f"data_dir: expected images in val/ of {first} to evaluate on, received none; prepare "
            "it with a larger --validation_fraction, or with --validation_source"
        )
    return dataset


def _fit(
    model: models.XSampleModel,
    directory: RunDirectory,
    options: Options,
    total_steps: int,
    steps_per_epoch: int,
    evaluate: Callable[..., dict[str, Any]],
    signals: StopSignals,
    workers: Workers,
) -> int:
    """Trains from the newest checkpoint to the last step, and returns that step."""
    log = workers.log
    with workers.together():
        checkpoints = Checkpoints(directory.path / "checkpoints", model, options.keep)
        first = checkpoints.restore(log)
    # Else run_dir is another directory there.
    workers.agree({"step of the newest checkpoint in run_dir": first})
    directory.begin()
    if first:
        log(f"continuing at step {first} from {checkpoints.newest}")
    if first >= total_steps:
        log("all steps are done; evaluating and exporting")
        return first
    logs = Logs(directory.path, first, workers.chief)

    def due(step: int, every_epochs: int) -> bool:
        # At the end of the execution in which so many epochs end.
        since = step % (every_epochs * steps_per_epoch) if every_epochs else math.inf
        return since < options.steps_per_execution

    def evaluate_if_due(step: int) -> None:
        if not due(step, options.evaluate_every_epochs) or step == total_steps:
            return
        if logs.evaluated(step) or signals.received or not workers.chief:
            return  # Continued, the run comes by here again; other workers wait in the next step.
        with signals.deferred(False):
            scores = evaluate(limit=options.evaluate_limit, log=log)
        log(evaluation.summary(scores, step))
        logs.append({"step": step, "evaluation": scores["trained"]})

    def at_interval_end(step: int) -> None:
        every = options.checkpoint_every_steps
        passed = step // every > checkpoints.step // every
        kept = due(step, options.keep_every_epochs)
        # Before an evaluation as well, so that a kill during it costs no steps.
        if passed or kept or due(step, options.evaluate_every_epochs) or step == total_steps:
            name = f"epoch-{step // steps_per_epoch:04d}" if kept else None
            path = checkpoints.save(step, name)
            if kept:
                log(f"kept checkpoint {path.name}")
        evaluate_if_due(step)

    evaluate_if_due(first)  # At 0 the untrained encoder, to compare the later ones with.
    stream = _distribute(options, workers.strategy, first)
    intervals = LogIntervals(
        logs,
        checkpoints,
        options,
        first,
        total_steps,
        steps_per_epoch,
        then=at_interval_end,
        stop=lambda: workers.any(signals.received is not None),
        log=log,
    )
    # One Keras epoch for what is left: epochs are a matter of the global step here, so that a run
    # can continue in the middle of one.
    with build.explained(options), signals.deferred():
        model.fit(
            stream,
            steps_per_epoch=total_steps - first,
            shuffle=False,
            verbose=0,
            callbacks=[intervals],
        )
    if intervals.step < total_steps:
        by = signals.received or "a signal to another worker"
        raise Interrupted(
            f"stopped by {by} at step {intervals.step} of {total_steps}, saved as "
            f"{checkpoints.newest}; the same command continues, or "
            f"--flagfile={directory.path / 'run.flags'}"
        )
    return total_steps


def _distribute(
    options: Options, strategy: tf.distribute.Strategy, first_step: int
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """The stream from a step on; each worker decodes its own rows of the batch."""

    def rows(context: tf.distribute.InputContext) -> tf.data.Dataset:
        workers = context.num_input_pipelines
        share = context.input_pipeline_id, workers
        stream = build.make_stream(options, first_step, share)
        if context.num_replicas_in_sync == workers:
            return stream
        own = context.get_per_replica_batch_size(options.batch_size)
        return stream.rebatch(own, drop_remainder=True)

    return strategy.distribute_datasets_from_function(rows)


def _evaluation(
    model: models.XSampleModel, options: Options, target_temperature: float
) -> Callable[..., dict[str, Any]]:
    """`evaluation.evaluate` of this run: the encoder compiled once, the KL as the loss has it."""
    # The other graphs' is 0, which says nothing about captions.
    of_captions = options.graph in ("cosine", "class")
    return functools.partial(
        evaluation.evaluate,
        evaluation.embedder(model.encoder),
        options.data_dir[0],
        projector=model.projector,
        image_size=options.image_size,
        embedding=build.caption_vectors(options),
        seed=options.seed,
        temperature=options.temperature,
        **({"target_temperature": target_temperature} if of_captions else {}),
    )


def _finish(
    model: models.XSampleModel,
    directory: RunDirectory,
    options: Options,
    dataset: data.Dataset,
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
