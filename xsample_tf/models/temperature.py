"""A temperature that the model learns beside its weights (CLIP, arXiv 2103.00020, section 2.5)."""

import inspect
import math
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError

# CLIP keeps its temperature from falling below 0.01, where training is unstable.
RANGE = (0.01, 1.0)
NAME = "log_temperature"


class Clamp(keras.constraints.Constraint):
    """Keeps the logarithm of a temperature within `RANGE`."""

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        """Returns the value, or the end of the range that it has passed."""
        return keras.ops.clip(w, *(math.log(end) for end in RANGE))


def add_temperature(model: keras.Model) -> keras.Variable:
    """Returns a new weight of the model: the temperature's logarithm, NaN until `start`."""
    nothing = keras.initializers.Constant(math.nan)
    return model.add_weight(shape=(), initializer=nothing, constraint=Clamp(), name=NAME)


def start(variable: keras.Variable, loss: Any) -> None:
    """Has a temperature that no training has moved begin at the loss's own.

    Raises:
        InputError: The loss does not take a temperature, or its own is out of range.
    """
    rows = getattr(loss, "rows", None)
    if rows is None or "temperature" not in inspect.signature(rows).parameters:
        raise InputError(
            "learn_temperature: expected a loss whose rows(side, embeddings, temperature) takes "
            f"one, as XSampleContrastiveLoss, received {type(loss).__name__}"
        )
    if not RANGE[0] <= loss.temperature <= RANGE[1]:
        raise InputError(
            f"temperature: expected {RANGE[0]:g} to {RANGE[1]:g} to learn it from, received "
            f"{loss.temperature:g}"
        )
    if math.isnan(float(variable.numpy())):
        variable.assign(math.log(loss.temperature))


def keep_from_decay(variable: keras.Variable, optimizer: keras.Optimizer) -> None:
    """Has weight decay leave the temperature alone: it would pull it towards 1."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    for one in getattr(inner, "optimizers", [inner]):
        if hasattr(one, "_use_weight_decay"):
            one._use_weight_decay(variable)  # Makes the cache, where there is none.
            one._exclude_from_weight_decay_cache[one._var_key(variable)] = False


def check_no_variables(tape: tf.GradientTape) -> None:
    """Raises `InputError` where the loss read a variable that it would have to train."""
    found = [variable.name for variable in tape.watched_variables()]
    if found:
        raise InputError(
            f"loss: expected no variables to train, received {', '.join(found[:3])}, which this "
            "model would leave as it is; XSampleModel(..., learn_temperature=True) learns the "
            "temperature, and hands it to the loss"
        )
