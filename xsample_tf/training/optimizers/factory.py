"""Optimizers by name."""

from collections.abc import Mapping
from typing import Any

import keras

from xsample_tf.errors import InputError
from xsample_tf.training.optimizers.numbers import checked_number
from xsample_tf.training.optimizers.registry import OPTIMIZERS


def build(
    name: str,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    clip_norm: float = 0.0,
    own: Mapping[str, Any] | None = None,
    decay_embeddings: bool = True,
) -> keras.optimizers.Optimizer:
    """Builds an optimizer that leaves biases and norms out of weight decay.

    "lars" adds the decay to the gradient. "sgd" and "adamw" have Keras's decoupled decay: each step
    takes `learning_rate * weight_decay` of a weight away, apart from gradient and momentum. With
    momentum m, SGD elsewhere (decay in the gradient) is `weight_decay / (1 - m)` here.

    Args:
        name: One of `OPTIMIZERS.names()`.
        learning_rate: Number above 0, or a schedule such as `warmup_cosine`'s.
        weight_decay: At least 0. Defaults to 0.
        momentum: In [0, 1); for "adamw" the decay of the gradient's mean, its beta_1. Defaults to
            0.9.
        clip_norm: Largest global norm of the gradient; 0 sets no limit, the default. `XSampleModel`
            clips the sum over replicas.
        own: Values of the options that the optimizer itself declares, by name; those of others are
            left out.
        decay_embeddings: Whether weight decay takes tables of tokens and positions. Defaults to
            True.

    Raises:
        InputError: An unknown name, a number out of range, or an optimizer that always decays
            embeddings.

    Example:
        >>> optimizer = build("lars", warmup_cosine(2.4, 10_000, 1_000), weight_decay=1e-6)
    """
    if not isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        learning_rate = checked_number("learning_rate", learning_rate, above=0)
    optimizer = OPTIMIZERS.make(
        name,
        learning_rate,
        values=own or {},
        weight_decay=checked_number("weight_decay", weight_decay, at_least=0),
        momentum=checked_number("momentum", momentum, at_least=0, below=1),
        global_clipnorm=checked_number("clip_norm", clip_norm, at_least=0) or None,
    )
    if not decay_embeddings:
        if not hasattr(optimizer, "decay_embeddings"):
            raise InputError(
                f"decay_embeddings: optimizer {name!r} has no such setting; leave it out, or use "
                "adamw, lars or sgd"
            )
        optimizer.decay_embeddings = False
    return optimizer
