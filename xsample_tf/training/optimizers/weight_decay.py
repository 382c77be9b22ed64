"""Which variables decay."""

from collections.abc import Sequence

import keras


class DecayOfWeightsOnly:
    """Keeps Keras's weight decay off biases and norms, also in a reloaded optimizer."""

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Excludes them and makes the slots; Keras calls it before the first step."""
        if not self.built:
            self.exclude_from_weight_decay([v for v in variables if is_bias_or_norm(v)])
        super().build(variables)


def is_bias_or_norm(variable: keras.Variable) -> bool:
    """Whether a variable is a bias, or the scale or shift of a normalisation layer.

    Vectors and scalars are, and biases of any rank: Keras's attention has biases `[heads, size]`.
    """
    return len(variable.shape) <= 1 or variable.name == "bias"
