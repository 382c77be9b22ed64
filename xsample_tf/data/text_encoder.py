"""What the data rooms need of a text encoder; they do not know the `text` room."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class TextEncoder(Protocol):
    """What turns captions into vectors; `name` is the folder they go to."""

    name: str
    handle: str
    size: int

    def __call__(self, captions: Sequence[str]) -> np.ndarray:
        """Returns float `[K, size]`."""
