"""Which variables decay."""

from collections.abc import Sequence
from typing import Any

import keras

# Names that Keras and keras-hub give to tables of tokens and of positions.
_EMBEDDINGS = ("embeddings", "position_embedding", "position_embeddings")


class DecayOfWeightsOnly:
    """Keeps Keras's weight decay off biases and norms, also in a reloaded optimizer.

    Attributes:
        decay_embeddings: Whether tables of tokens and positions decay. Defaults to True; set it
            before the first step.
    """

    decay_embeddings: bool = True

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Excludes them and makes the slots; Keras calls it before the first step."""
        if not self.built:
            self.exclude_from_weight_decay(
                [v for v in variables if not decays(v, self.decay_embeddings)]
            )
        super().build(variables)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "decay_embeddings": self.decay_embeddings}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> keras.Optimizer:
        """Builds the optimizer from `get_config`'s result."""
        own = {"decay_embeddings": config.get("decay_embeddings", True)}
        rest = {name: value for name, value in config.items() if name not in own}
        made = super().from_config(rest, custom_objects)
        made.decay_embeddings = own["decay_embeddings"]
        return made


def decays(variable: keras.Variable, embeddings: bool = True) -> bool:
    """Whether weight decay takes a variable.

    Args:
        variable: Of a model.
        embeddings: Whether it takes tables of tokens and positions. Defaults to True.
    """
    return not is_bias_or_norm(variable) and (embeddings or variable.name not in _EMBEDDINGS)


def is_bias_or_norm(variable: keras.Variable) -> bool:
    """Whether a variable is a bias, or the scale or shift of a normalisation layer.

    Vectors and scalars are, and biases of any rank: Keras's attention has biases `[heads, size]`.
    """
    return len(variable.shape) <= 1 or variable.name == "bias"
