"""Learning rates that differ from weight to weight, the smaller the nearer to the images."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from xsample_tf.errors import InputError
from xsample_tf.models.networks.fine_tuning import block_depths


class RateByVariable:
    """Multiplies an optimizer's learning rate, and its decoupled weight decay, by the weight.

    Attributes:
        rate_factor: From a variable to its factor; set it before the first step. Defaults to None:
            one rate for all.
    """

    rate_factor: Callable[[keras.Variable], float] | None = None
    _rate_factors: Sequence[float] | None = None

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Looks up the factors; Keras calls it before the first step."""
        if self.rate_factor is not None and not self.built:
            self._rate_factors = [self.rate_factor(variable) for variable in variables]
        super().build(variables)

    def rate_of(self, variable: Any, learning_rate: Any) -> Any:
        """Returns the learning rate of a variable."""
        if self._rate_factors is None:
            return learning_rate
        return learning_rate * self._rate_factors[self._get_variable_index(variable)]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        super().update_step(gradient, variable, self.rate_of(variable, learning_rate))

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        """As Keras's, at each variable's own rate."""
        if self._rate_factors is None or self.weight_decay is None:
            super()._apply_weight_decay(variables)
            return
        for variable in variables:
            if self._use_weight_decay(variable):
                rate = self.rate_of(variable, self.learning_rate)
                taken = ops.cast(self.weight_decay * rate, variable.dtype)
                variable.assign(variable - variable * taken)


def decay_by_layer(optimizer: keras.Optimizer, encoder: keras.Model, decay: float) -> str:
    """Has an encoder's blocks learn at smaller rates, the smaller the nearer to the images.

    The last block has the learning rate times `decay`, the one before it that times `decay` again,
    and so on; what is not of the encoder has the learning rate (BEiT, arXiv 2106.08254, with its
    norms behind the last block counted to it).

    Args:
        optimizer: Not built yet.
        encoder: Built.
        decay: In (0, 1].

    Returns:
        How far the rates reach, in words.

    Raises:
        InputError: The optimizer has one rate for all weights.
    """
    if not isinstance(optimizer, RateByVariable):
        raise InputError(
            f"layer_decay: optimizer {optimizer.name!r} has one rate for all weights; leave it "
            "out, or use adamw, lars or sgd"
        )
    depths, firsts = block_depths(encoder)
    blocks = len(firsts)
    optimizer.rate_factor = lambda variable: decay ** (blocks - depths.get(id(variable), blocks))
    return (
        f"layer_decay: {blocks} blocks; the rate of {firsts[0]} is {decay**blocks:.2g} and that of "
        f"{firsts[-1]} is {decay:.2g} of the projector's"
    )
