"""Optimizers and learning-rate schedules."""

from xsample_tf.training.optimizers.adamw import AdamW
from xsample_tf.training.optimizers.factory import build
from xsample_tf.training.optimizers.lars import LARS
from xsample_tf.training.optimizers.registry import OPTIMIZERS, register
from xsample_tf.training.optimizers.schedules import (
    LEARNING_RATE_RULES,
    effective_learning_rate,
    warmup_cosine,
)
from xsample_tf.training.optimizers.sgd import SGD
from xsample_tf.training.optimizers.weight_decay import is_bias_or_norm

__all__ = [
    "LEARNING_RATE_RULES",
    "OPTIMIZERS",
    "AdamW",
    "LARS",
    "SGD",
    "build",
    "effective_learning_rate",
    "is_bias_or_norm",
    "register",
    "warmup_cosine",
]
