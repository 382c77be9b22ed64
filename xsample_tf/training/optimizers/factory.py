"""Optimizers by name, LARS, and the learning rate's schedule."""

import keras

from xsample_tf.errors import InputError, suggest
from xsample_tf.training.optimizers.adamw import AdamW
from xsample_tf.training.optimizers.lars import LARS
from xsample_tf.training.optimizers.numbers import checked_number
from xsample_tf.training.optimizers.sgd import SGD

OPTIMIZERS = ("lars", "sgd", "adamw")


def build(
    name: str,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    clip_norm: float = 0.0,
) -> keras.optimizers.Optimizer:
    """Builds an optimizer that leaves biases and norms out of weight decay.

    "lars" adds the decay to the gradient. "sgd" and "adamw" have Keras's decoupled decay: each step
    takes `learning_rate * weight_decay` of a weight away, apart from gradient and momentum. With
    momentum m, SGD elsewhere (decay in the gradient) is `weight_decay / (1 - m)` here.

    Args:
        name: One of `OPTIMIZERS`.
        learning_rate: Number above 0, or a schedule such as `warmup_cosine`'s.
        weight_decay: From 0.
        momentum: In [0, 1); for "adamw" the decay of the gradient's mean, its beta_1.
        clip_norm: Largest global norm of the gradient; 0: no limit. `XSampleModel` clips the sum
            over replicas.

    Raises:
        InputError: An unknown name, or a number out of range.

    Example:
        >>> optimizer = build("lars", warmup_cosine(2.4, 10_000, 1_000), weight_decay=1e-6)
    """
    if name not in OPTIMIZERS:
        raise InputError(f"optimizer: unknown name {name!r}, {suggest(str(name), OPTIMIZERS)}")
    if not isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        learning_rate = checked_number("learning_rate", learning_rate, above=0)
    weight_decay = checked_number("weight_decay", weight_decay, at_least=0)
    momentum = checked_number("momentum", momentum, at_least=0, below=1)
    clip_norm = checked_number("clip_norm", clip_norm, at_least=0)
    kind, arguments = {
        "lars": (LARS, {"momentum": momentum}),
        "sgd": (SGD, {"momentum": momentum}),
        "adamw": (AdamW, {"beta_1": momentum}),
    }[name]
    return kind(
        learning_rate, weight_decay=weight_decay, global_clipnorm=clip_norm or None, **arguments
    )
