"""LARS (arXiv 1708.03888)."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from xsample_tf.training.optimizers.numbers import checked_number
from xsample_tf.training.optimizers.rates import RateByVariable
from xsample_tf.training.optimizers.registry import register
from xsample_tf.training.optimizers.weight_decay import decays, is_bias_or_norm


@register("lars")
@keras.saving.register_keras_serializable("xsample_tf")
class LARS(RateByVariable, keras.optimizers.Optimizer):
    """Layer-wise adaptive rate scaling (You et al., arXiv 1708.03888), in SimCLR's form.

    For a weight w with gradient g, learning rate r, momentum m, decay d and trust coefficient c:

        u = g + d w
        v = m v + r (c |w| / |u|) u      (factor 1 where |w| or |u| is 0)
        w = w - v

    Biases and the scales and shifts of normalisation layers have neither decay nor adaptation:
    v = m v + r g. The velocity v is kept in float32, or in float64 for float64 weights.

    Args:
        learning_rate: Number, or a Keras schedule of the step.
        momentum: m, in [0, 1).
        weight_decay: d, added to the gradient, so that it passes through |u| and the momentum.
        trust_coefficient: c.
        decay_embeddings: Whether tables of tokens and positions decay. Defaults to True.
        name: Name of the optimizer.
        **arguments: What every Keras optimizer takes, such as `global_clipnorm`.

    Raises:
        InputError: A momentum, weight decay or trust coefficient out of range.

    Example:
        >>> optimizer = LARS(learning_rate=2.4, weight_decay=1e-6)  # SimCLR: 0.075 sqrt(1024)
    """

    def __init__(
        self,
        learning_rate: Any = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
        decay_embeddings: bool = True,
        name: str = "lars",
        **arguments: Any,
    ):
        weight_decay = checked_number("weight_decay", weight_decay, at_least=0)
        super().__init__(learning_rate, weight_decay=weight_decay, name=name, **arguments)
        self.momentum = checked_number("momentum", momentum, at_least=0, below=1)
        self.trust_coefficient = checked_number("trust_coefficient", trust_coefficient, above=0)
        self.decay_embeddings = decay_embeddings

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the velocities; Keras calls it before the first step."""
        if self.built:
            return
        super().build(variables)
        self._adapted = [not is_bias_or_norm(variable) for variable in variables]
        self._decayed = [decays(variable, self.decay_embeddings) for variable in variables]
        self.velocities = [
            self.add_variable(
                variable.shape,
                dtype="float64" if variable.dtype == "float64" else "float32",
                name=f"{variable.path.replace('/', '_')}_velocity",
            )
            for variable in variables
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        index = self._get_variable_index(variable)
        velocity = self.velocities[index]
        weight = ops.cast(variable, velocity.dtype)
        update = ops.cast(ops.convert_to_tensor(gradient), velocity.dtype)
        rate = ops.cast(self.rate_of(variable, learning_rate), velocity.dtype)
        if self._decayed[index]:
            update = update + self.weight_decay * weight
        if self._adapted[index]:
            rate = rate * self._trust_ratio(weight, update)
        self.assign(velocity, self.momentum * velocity + rate * update)
        self.assign_sub(variable, velocity)

    def _trust_ratio(self, weight: Any, update: Any) -> Any:
        weight_norm, update_norm = (ops.sqrt(ops.sum(ops.square(x))) for x in (weight, update))
        usable = ops.logical_and(weight_norm > 0, update_norm > 0)
        # Where the quotient is not used it must not be 0 / 0 either.
        quotient = weight_norm / ops.where(usable, update_norm, ops.ones_like(update_norm))
        return ops.where(usable, self.trust_coefficient * quotient, ops.ones_like(quotient))

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        """Does nothing: Keras would shrink the weights here, and LARS decays by the gradient."""

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = ("momentum", "trust_coefficient", "decay_embeddings")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
