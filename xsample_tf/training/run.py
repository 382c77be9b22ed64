"""A training run from its options: data, model, fit, evaluation, export."""

import contextlib
import functools
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from xsample_tf import data, evaluation, models, text
from xsample_tf.errors import InputError
from xsample_tf.export import export
from xsample_tf.training import assemble
from xsample_tf.training.callbacks import Intervals
from xsample_tf.training.options import Options
from xsample_tf.training.run_directory import RunDirectory
from xsample_tf.training.strategy import make_strategy
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
            step, except for a loss that is not finite and data that turns out to be unreadable.

    Example:
        >>> train(Options(data_dir=("data/flickr8k",), run_dir="runs/first", epochs=10))
    """
    if not options.run_dir:
        raise InputError("run_dir: expected a directory for the run, received none")
    dataset = _dataset(options, log)
    steps_per_epoch = data.steps_per_epoch(options.data_dir, "train", options.batch_size)
    total_steps = assemble.length(options, steps_per_epoch)
    graph = assemble.make_graph(options, dataset)
    strategy = make_strategy(options.strategy)
    replicas = strategy.num_replicas_in_sync
    if options.batch_size % replicas:
        raise InputError(
            f"batch_size: expected a multiple of the {replicas} replicas, received "
            f"{options.batch_size}"
        )
    assemble.check_microbatches(options, replicas)
    compiled, why = assemble.compile_step(options)
    directory = RunDirectory(options, log)
    tf.config.experimental.enable_tensor_float_32_execution(options.tf32)

    with _precision(assemble.precision_policy(options)) as policy:
        temperature, summary = assemble.choose_target_temperature(options, graph, dataset)
        with strategy.scope():
            model = assemble.make_model(options)
            optimizer, learning_rate = assemble.make_optimizer(
                options, total_steps, steps_per_epoch
            )
            model.compile(
                optimizer, assemble.make_loss(options, graph, temperature), jit_compile=compiled
            )
            model.optimizer.build(model.trainable_variables)
        log(
            f"data: {', '.join(options.data_dir)}, {dataset.records('train')} images; "
            f"{assemble.describe_length(options, total_steps, steps_per_epoch)}"
        )
        log(
            f"model: {options.backbone}, {model.count_params() / 1e6:.1f} M weights with its "
            f"projector; {options.optimizer}, peak learning rate {learning_rate:g}; {policy}; "
            f"{replicas} replica{'s' if replicas > 1 else ''}; "
            f"{assemble.describe_compilation(model, why)}"
        )
        log(assemble.describe_target(summary, options))
        evaluate = _evaluation(model, options, temperature)
        step = _fit(model, directory, options, total_steps, steps_per_epoch, evaluate, log)
        return _finish(model, directory, options, dataset, step, evaluate, log)


def _dataset(options: Options, log: Callable[[str], None]) -> data.Dataset:
    """The data, prepared first where a source is given; one that stands for all directories."""
    if not options.data_dir:
        raise InputError("data_dir: expected a directory that tools/prepare_data.py wrote")
    first = options.data_dir[0]
    if options.source and not os.path.exists(os.path.join(first, "dataset.json")):
        log(f"preparing {first} from {options.source}")
        data.prepare(
            options.source,
            first,
            encoders=[text.load_encoder(options.text_encoder)],
            options=data.SourceOptions(validation_fraction=_VALIDATION_FRACTION),
        )
    dataset = data.read_dataset(first)
    if not dataset.splits.get("val"):
        raise InputError(
            f"data_dir: expected images in val/ of {first} to evaluate on, received none; prepare "
            "it with a larger --validation_fraction, or with --validation_source"
        )
    return dataset


@contextlib.contextmanager
def _precision(policy: str) -> Iterator[str]:
    """The dtype policy for what is built inside; the caller's is put back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield policy
    finally:
        keras.config.set_dtype_policy(before)


def _fit(
    model: models.XSampleModel,
    directory: RunDirectory,
    options: Options,
    total_steps: int,
    steps_per_epoch: int,
    evaluate: Callable[..., dict[str, Any]],
    log: Callable[[str], None],
) -> int:
    """Trains from the newest checkpoint to the last step, and returns that step."""
    manager = directory.checkpoints(model)
    first = directory.restore(manager, model)
    if first:
        log(f"continuing at step {first} from {manager.latest_checkpoint}")
    if first >= total_steps:
        return first

    def evaluate_now(step: int) -> None:
        scores = evaluate(limit=options.evaluate_limit, log=log)
        log(evaluation.summary(scores, step))
        with (directory.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "evaluation": scores["trained"]}) + "\n")

    def at_interval_end(step: int) -> None:
        epoch, rest = divmod(step, steps_per_epoch)
        last = step == total_steps
        if rest == 0 and _due(epoch, options.evaluate_every_epochs) and not last:
            evaluate_now(step)
        if last or step // options.checkpoint_every_steps > saved[0] // (
            options.checkpoint_every_steps
        ):
            manager.save(checkpoint_number=step)
            saved[0] = step
        if rest == 0 and _due(epoch, options.keep_every_epochs):
            log(f"kept checkpoint {directory.keep(model, epoch)}")

    saved = [first]
    stream = data.load(
        options.data_dir,
        "train",
        options.batch_size,
        views=assemble.make_views(options),
        seed=options.seed,
        start_step=first,
        embedding=options.embedding or None,
        captions=options.captions,
        shuffle_window=options.shuffle_window,
    )
    intervals = Intervals(
        directory.path,
        first,
        total_steps,
        steps_per_epoch,
        options.log_every_steps,
        options.batch_size,
        options.max_substituted,
        at_interval_end,
        log,
    )
    if first == 0 and options.evaluate_every_epochs:
        evaluate_now(0)  # The untrained encoder, for the eye to compare the later ones with.
    try:
        # One Keras epoch for what is left: epochs are a matter of the global step here, so that a
        # run can continue in the middle of one.
        model.fit(
            stream,
            steps_per_epoch=total_steps - first,
            shuffle=False,
            verbose=0,
            callbacks=[intervals],
        )
    except tf.errors.ResourceExhaustedError:
        raise InputError(
            f"batch_size: out of memory with {options.batch_size} images of {options.views} views "
            f"at {options.image_size} pixels; lower batch_size or image_size"
        ) from None
    except tf.errors.OpError as error:
        raise data.as_input_error(error) from None
    return total_steps


def _due(epoch: int, every: int) -> bool:
    return every > 0 and epoch > 0 and epoch % every == 0


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
        embedding=options.embedding or None,
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
        "data": {split: dataset.records(split) for split in dataset.splits},
        "scores": results,
    }
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
