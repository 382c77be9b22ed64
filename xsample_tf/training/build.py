"""From options to the parts of a run: views, graph, model, optimizer, precision."""

import contextlib
import functools
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from xsample_tf import data, graphs, losses, models, text
from xsample_tf.data import views
from xsample_tf.devices import accelerated
from xsample_tf.errors import InputError
from xsample_tf.templates import CLASS_TEMPLATE
from xsample_tf.training import optimizers
from xsample_tf.training.options import Options


def make_views(options: Options) -> views.ViewPolicy:
    """Builds the augmentation policy that the options name."""
    return views.AUGMENTATIONS[options.augmentation].make.from_options(options)


def color_on_accelerator(options: Options) -> bool:
    """Whether the step changes the views' colours, and not the stream."""
    if options.color_on == "auto":
        return views.AUGMENTATIONS[options.augmentation].make.splits_stages and accelerated()
    return options.color_on == "accelerator"


def caption_vectors(options: Options) -> str | text.TextEncoder | None:
    """Where captions' vectors come from: stored ones, or the encoder that makes them on the way."""
    if options.encode_captions:
        return _load_encoder(options.encode_captions)
    return options.embedding or None


def _vectors_of_stream(options: Options) -> str | text.TextEncoder | None:
    """The same; captions are not encoded for graphs that do without them."""
    return caption_vectors(options) if options.graph == "cosine" else options.embedding or None


@functools.lru_cache(maxsize=1)
def _load_encoder(handle: str) -> text.TextEncoder:
    return text.load_encoder(handle)


def make_stream(
    options: Options, first_step: int = 0, share: tuple[int, int] = (0, 1)
) -> tf.data.Dataset:
    """The training batches from a step on, or this share of their rows."""
    policy = make_views(options)
    return data.load(
        options.data_dir,
        "train",
        options.batch_size,
        views=policy.crops if color_on_accelerator(options) else policy,
        seed=options.seed,
        start_step=first_step,
        embedding=_vectors_of_stream(options),
        captions=options.captions,
        shuffle_window=options.shuffle_window,
        share=share,
    )


def make_graph(options: Options, dataset: data.Dataset) -> graphs.SimilarityGraph:
    """The similarity graph that the options name, for this data.

    Raises:
        InputError: The data has no captions' vectors, or no labels, where the graph needs them.
    """
    if options.graph in ("class", "label") and dataset.class_names is None:
        raise InputError(
            f"graph: {options.graph!r} needs labels, and {dataset.directory} has none; use "
            "--graph=cosine, or prepare the data with --label_column"
        )
    if options.graph == "instance":
        return graphs.InstanceGraph()
    if options.graph == "label":
        return graphs.LabelGraph()
    if options.encode_captions:
        return _graph_of_encoder(options, dataset)
    encoder = dataset.encoder(options.embedding or None)
    center = encoder.mean if options.center else None
    if options.graph == "class":
        vectors = dataset.class_embeddings(encoder.name)
        return graphs.ClassGraph.from_embeddings(vectors, center)
    return graphs.CosineGraph(center)


def _graph_of_encoder(options: Options, dataset: data.Dataset) -> graphs.SimilarityGraph:
    """The graph of vectors that are not stored."""
    if options.graph == "cosine":
        return graphs.CosineGraph()
    captions = text.fill_template(CLASS_TEMPLATE, dataset.class_names)
    return graphs.ClassGraph.from_embeddings(caption_vectors(options)(captions))


def make_model(options: Options) -> models.XSampleModel:
    """Encoder and projector with fresh weights that depend on the seed alone."""
    synchronized = {"auto": None, "on": True, "off": False}[options.synchronized_batch_norm]
    keras.utils.set_random_seed(options.seed)
    encoder = models.backbone(
        options.backbone,
        image_size=options.image_size,
        small_images=options.small_images,
        synchronized_batch_norm=synchronized,
    )
    projector = models.projector(
        encoder.output_shape[-1],
        options.projector_hidden,
        options.projector_dim,
        options.projector_layers,
        synchronized,
    )
    finish = make_views(options).finish if color_on_accelerator(options) else None
    return models.XSampleModel(encoder, projector, options.microbatch_size or None, finish)


def make_optimizer(
    options: Options, total_steps: int, steps_per_epoch: int
) -> tuple[keras.Optimizer, float]:
    """The optimizer with its schedule, and the effective peak learning rate."""
    warmup_steps = round(options.warmup_epochs * steps_per_epoch)
    peak = optimizers.effective_learning_rate(
        options.learning_rate, options.batch_size, options.learning_rate_scaling
    )
    # A trial run that ends within the warm-up takes the same first steps as the whole run.
    schedule = optimizers.warmup_cosine(peak, max(total_steps, warmup_steps + 1), warmup_steps)
    settings = options.weight_decay, options.momentum, options.clip_norm
    return optimizers.build(options.optimizer, schedule, *settings), peak


def make_loss(
    options: Options, graph: graphs.SimilarityGraph, target_temperature: float
) -> losses.XSampleContrastiveLoss:
    """The loss over that graph."""
    return losses.XSampleContrastiveLoss(
        graph,
        temperature=options.temperature,
        target_temperature=target_temperature,
        exclude_self=options.exclude_self,
    )


def check_batch(options: Options, replicas: int) -> None:
    """Raises `InputError` where the replicas cannot share the batch."""
    if options.batch_size % replicas:
        raise InputError(
            f"batch_size: expected a multiple of the {replicas} replicas, received "
            f"{options.batch_size}"
        )


def total_steps_of(options: Options, steps_per_epoch: int) -> int:
    """The run's length in steps.

    Raises:
        InputError: Neither epochs nor steps are given.
    """
    if options.steps is None and options.epochs is None:
        raise InputError("expected the length of the run: give epochs or steps")
    return options.steps if options.steps is not None else options.epochs * steps_per_epoch


def compile_step(options: Options) -> tuple[bool, str]:
    """Whether XLA compiles what it can of the step, and why."""
    if options.xla != "auto":
        return options.xla == "on", "as asked"
    if accelerated():
        return True, "there is an accelerator"
    return False, "on a CPU, XLA's convolutions are slower than TensorFlow's"


@contextlib.contextmanager
def explained(options: Options) -> Iterator[None]:
    """Turns what TensorFlow says of a user's mistake while it trains into an `InputError`."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise InputError(
            f"batch_size: out of memory with {options.batch_size} images of {options.views} views "
            f"at {options.image_size} pixels; lower batch_size or image_size"
        ) from None
    except tf.errors.OpError as error:
        raise data.as_input_error(error) from None


def side_information(options: Options, graph: graphs.SimilarityGraph, images: int) -> np.ndarray:
    """What the graph sees of the stream's first images, `[images, ...]`."""
    if graph.features == "index":
        return np.arange(images)
    return data.side_information(
        options.data_dir,
        "train",
        _vectors_of_stream(options),
        limit=images,
    )[graph.features]


def check_microbatches(options: Options, replicas: int) -> None:
    """Raises `InputError` unless microbatches divide the replica's share of the batch."""
    share = options.batch_size // replicas
    if options.microbatch_size and share % options.microbatch_size:
        raise InputError(
            f"microbatch_size: expected a divisor of the {share} images of each of {replicas} "
            f"replica{'s' if replicas > 1 else ''}, received {options.microbatch_size}"
        )


def choose_target_temperature(
    options: Options, graph: graphs.SimilarityGraph, dataset: data.Dataset
) -> tuple[float, losses.TargetSummary]:
    """The target temperature, solved for where asked, and what the target then looks like."""
    given, mass = options.parse_target_temperature()
    side = side_information(options, graph, options.batch_size)
    if mass is not None:
        given = losses.solve_target_temperature(
            graph, side, mass, options.views, options.exclude_self
        )
    summary = losses.summarize_target(graph, side, given, options.views, options.exclude_self)
    return summary.target_temperature, summary
