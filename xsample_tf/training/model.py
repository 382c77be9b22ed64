"""What learns in a run: encoder, projector and optimizer."""

import keras

from xsample_tf import models
from xsample_tf.training import optimizers
from xsample_tf.training.options import Options

_SYNCHRONIZED = {"auto": None, "on": True, "off": False}


def make_encoder(options: Options) -> keras.Model:
    """Returns the encoder with fresh weights, and restarts Keras's random numbers from the seed."""
    keras.utils.set_random_seed(options.seed)
    return models.backbone(
        options.backbone,
        image_size=options.image_size,
        small_images=options.small_images,
        synchronized_batch_norm=_SYNCHRONIZED[options.synchronized_batch_norm],
    )


def make_projector(options: Options, size: int) -> keras.Model:
    """Returns the projector of embeddings `[B, size]`, with fresh weights."""
    return models.projector(
        size,
        options.projector_hidden,
        options.projector_dim,
        options.projector_layers,
        _SYNCHRONIZED[options.synchronized_batch_norm],
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
    )
    return optimizer, peak
