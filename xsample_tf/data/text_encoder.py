"""What the data rooms need of text encoders and tokenizers; they do not know the `text` room."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf


class TextEncoder(Protocol):
    """What turns captions into vectors; `name` is the folder they go to."""

    name: str
    handle: str
    size: int

    def __call__(self, captions: Sequence[str]) -> np.ndarray:
        """Returns float `[K, size]`."""


class Tokenizer(Protocol):
    """What turns captions into tokens, inside a graph of TensorFlow; 0 is padding."""

    length: int

    def __call__(self, captions: tf.Tensor) -> tf.Tensor:
        """Returns int32 `[B, length]` for strings `[B]`."""
