"""What learns in a run: encoder, projector and optimizer."""

import pathlib
from collections.abc import Callable

import keras

from xsample_tf import models
from xsample_tf.models import pretrained
from xsample_tf.models.networks.backbones import wanted
from xsample_tf.models.networks.fine_tuning import freeze
from xsample_tf.training import optimizers
from xsample_tf.training.options import Options

_SYNCHRONIZED = {"auto": None, "on": True, "off": False}
# What a run that starts from an encoder keeps of its beginning, in its directory.
START_ENCODER, START_PROJECTOR = "start/encoder.keras", "start/projector.keras"


def make_encoder(options: Options) -> keras.Model:
    """Returns the encoder with its first weights, and restarts Keras's random numbers.

    The weights are fresh ones of the seed, or those that the run starts from.
    """
    keras.utils.set_random_seed(options.seed)
    encoder = _started_encoder(options) if options.takes_encoder else make_backbone(options)
    if options.freeze:
        freeze(encoder, options.freeze)
    return encoder


def make_backbone(options: Options) -> keras.Model:
    """Returns the encoder that the options name, with fresh weights."""
    return models.backbone(
        options.backbone,
        image_size=options.image_size,
        small_images=options.small_images,
        synchronized_batch_norm=_SYNCHRONIZED[options.synchronized_batch_norm],
    )


def open_start(options: Options, log: Callable[[str], None]) -> pretrained.Pretrained:
    """Returns the encoder that `init_from` names, in float32.

    Raises:
        InputError: As for `models.load_encoder`.
    """
    expected = make_backbone(options) if options.backbone else None
    return pretrained.load_pretrained(options.init_from, options.image_size, expected, log)


def read_start(run_dir: str, name: str = START_ENCODER) -> keras.Model | None:
    """Returns the encoder, or the projector, with the weights that a run started from.

    Args:
        run_dir: What `train` wrote.
        name: `START_ENCODER`, the default, or `START_PROJECTOR`.

    Returns:
        None where the run started from fresh weights, or keeps no others.

    Example:
        >>> evaluate(encoder, "data/own", baseline=read_start("runs/own"), baseline_name="start")
    """
    path = pathlib.Path(run_dir) / name
    return pretrained.read_keras(path) if run_dir and path.is_file() else None


def _started_encoder(options: Options) -> keras.Model:
    """The encoder that a run starts from: the run's own copy, else from where that came."""
    encoder = read_start(options.run_dir)
    if encoder is None:
        encoder = open_start(options, lambda line: None).encoder
    encoder = pretrained.in_policy(encoder)
    synchronized = wanted(_SYNCHRONIZED[options.synchronized_batch_norm])
    for layer in encoder._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = synchronized
    return encoder


def make_projector(options: Options, size: int, name: str = "projector") -> keras.Model:
    """Returns the projector of embeddings `[B, size]`, with fresh weights."""
    return models.projector(
        size,
        options.projector_hidden,
        options.projector_dim,
        options.projector_layers,
        _SYNCHRONIZED[options.synchronized_batch_norm],
        name,
    )


def make_optimizer(
    options: Options, total_steps: int, steps_per_epoch: int
) -> tuple[keras.Optimizer, float]:
    """Returns the optimizer with its schedule, and the effective peak learning rate."""
    warmup_steps = round(options.warmup_epochs * steps_per_epoch)
    peak = optimizers.effective_learning_rate(
        options.learning_rate, options.batch_size, options.learning_rate_scaling
    )
    # A trial run that ends within the warm-up takes the same first steps as the whole run.
    schedule = optimizers.warmup_cosine(peak, max(total_steps, warmup_steps + 1), warmup_steps)
    optimizer = optimizers.build(
        options.optimizer,
        schedule,
        options.weight_decay,
        options.momentum,
        options.clip_norm,
        options.own,
        options.decay_embeddings,
    )
    return optimizer, peak
