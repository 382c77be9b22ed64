"""AdamW without weight decay on biases and norms."""

from typing import Any

import keras

from xsample_tf.training.optimizers.rates import RateByVariable
from xsample_tf.training.optimizers.registry import register
from xsample_tf.training.optimizers.weight_decay import DecayOfWeightsOnly


@keras.saving.register_keras_serializable("xsample_tf")
class AdamW(RateByVariable, DecayOfWeightsOnly, keras.optimizers.AdamW):
    """Keras's AdamW, without weight decay on biases and norms."""


@register("adamw")
def make_adamw(learning_rate: Any, *, momentum: float, **arguments: Any) -> AdamW:
    """AdamW (arXiv 1711.05101), decay apart from gradient; momentum is its beta_1."""
    return AdamW(learning_rate, beta_1=momentum, **arguments)
