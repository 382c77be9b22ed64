"""A temperature and a bias that the model learns beside its weights.

The temperature is CLIP's (arXiv 2103.00020, section 2.5), the bias SigLIP's (arXiv 2303.15343).
"""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError

# CLIP keeps its temperature from falling below 0.01, where training is unstable.
RANGE = (0.01, 1.0)


class Clamp(keras.constraints.Constraint):
    """Keeps the logarithm of a temperature within `RANGE`."""

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        """Returns the value, or the end of the range that it has passed."""
        return keras.ops.clip(w, *(math.log(end) for end in RANGE))


class LearnedScalars:
    """What a loss is given of a model's own variables.

    Args:
        model: Gets a scalar weight for each, NaN until `start`.
        temperature: Whether there is a temperature, learned as its logarithm.
        bias: Whether there is a bias.

    Attributes:
        variables: By the name under which the loss takes it.
    """

    def __init__(self, model: keras.Model, temperature: bool, bias: bool):
        nothing = keras.initializers.Constant(math.nan)
        self.variables: dict[str, keras.Variable] = {}
        if temperature:
            self.variables["temperature"] = model.add_weight(
                shape=(), initializer=nothing, constraint=Clamp(), name="log_temperature"
            )
        if bias:
            self.variables["bias"] = model.add_weight(shape=(), initializer=nothing, name="bias")

    def start(self, loss: Any) -> None:
        """Has variables that no training has moved begin at the loss's own values.

        Raises:
            InputError: The loss does not take one of them, or its own temperature is out of range.
        """
        for name, variable in self.variables.items():
            _check_takes(loss, name)
            value = getattr(loss, name)
            if name == "temperature":
                _check_range(value)
                value = math.log(value)
            if math.isnan(float(variable.numpy())):
                variable.assign(value)

    def values(self) -> dict[str, tf.Tensor]:
        """Returns the variables as tensors, to take gradients by."""
        return {name: tf.convert_to_tensor(value) for name, value in self.variables.items()}

    def arguments(self, values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns what the loss's `rows` is given of these values."""
        return {
            name: tf.exp(value) if name == "temperature" else value
            for name, value in values.items()
        }

    def with_own(
        self,
        gradients: Sequence[tf.Tensor | None],
        trained: Sequence[keras.Variable],
        own: Sequence[tf.Tensor | None],
    ) -> list[tf.Tensor | None]:
        """Returns the gradients by the trained variables, with those by these variables."""
        by_variable = {
            id(variable): gradient
            for variable, gradient in zip(self.variables.values(), own, strict=True)
        }
        return [
            by_variable.get(id(variable), gradient)
            for variable, gradient in zip(trained, gradients, strict=True)
        ]

    def keep_from_decay(self, optimizer: keras.Optimizer) -> None:
        """Has weight decay leave the variables alone: it would pull the temperature towards 1."""
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        for one in getattr(inner, "optimizers", [inner]):
            if not hasattr(one, "_use_weight_decay"):
                continue
            for variable in self.variables.values():
                one._use_weight_decay(variable)  # Makes the cache, where there is none.
                one._exclude_from_weight_decay_cache[one._var_key(variable)] = False


def _check_takes(loss: Any, name: str) -> None:
    rows = getattr(loss, "rows", None)
    takes = rows is not None and name in inspect.signature(rows).parameters
    if not (takes and hasattr(loss, name)):
        example = {"temperature": "XSampleContrastiveLoss", "bias": "SigmoidContrastiveLoss"}[name]
        raise InputError(
            f"learn_{name}: expected a loss whose rows(side, embeddings, {name}) takes one, as "
            f"{example}, received {type(loss).__name__}"
        )


def _check_range(temperature: float) -> None:
    if not RANGE[0] <= temperature <= RANGE[1]:
        raise InputError(
            f"temperature: expected {RANGE[0]:g} to {RANGE[1]:g} to learn it from, received "
            f"{temperature:g}"
        )


def check_no_variables(tape: tf.GradientTape) -> None:
    """Raises `InputError` where the loss read a variable that it would have to train."""
    found = [variable.name for variable in tape.watched_variables()]
    if found:
        raise InputError(
            f"loss: expected no variables to train, received {', '.join(found[:3])}, which this "
            "model would leave as it is; XSampleModel(..., learn_temperature=True) learns the "
            "temperature, and hands it to the loss"
        )
