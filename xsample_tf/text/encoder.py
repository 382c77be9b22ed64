"""What every text encoder is: a callable from captions to unit vectors."""

import abc
from collections.abc import Sequence

import numpy as np

from xsample_tf.arrays import unit_rows
from xsample_tf.errors import InputError
from xsample_tf.text.naming import handle_name


class TextEncoder(abc.ABC):
    """Captions to unit vectors; the kinds differ in `_encode` alone.

    Attributes:
        name: Safe as a file name; the folder of the vectors in a data directory.
        handle: What `load_encoder` was given.
        size: T, the length of a vector.

    Example:
        >>> encoder = load_encoder("lexical")
        >>> encoder(["two dogs on grass", "a dog on the lawn"]).shape
        (2, 384)
    """

    def __init__(self, handle: str, size: int, name: str | None = None) -> None:
        self.name = name or handle_name(handle)
        self.handle = handle
        self.size = size

    def __call__(self, captions: Sequence[str]) -> np.ndarray:
        """Returns the vectors of K captions.

        Args:
            captions: K texts; equal ones are computed once.

        Returns:
            float32 `[K, T]`, rows of unit length. A blank caption, or one in which the encoder
            finds nothing, gives a row of zeros; a row that is not finite becomes NaN. The caller
            counts both.

        Raises:
            InputError: `captions` is one string, or has an element that is not a string.
        """
        if isinstance(captions, str | bytes):
            raise InputError("captions: expected a sequence of strings, received one string")
        for index, caption in enumerate(captions):
            if not isinstance(caption, str):
                raise InputError(
                    f"captions: expected strings, received {type(caption).__name__} "
                    f"at index {index}"
                )
        distinct = list(dict.fromkeys(caption for caption in captions if caption.strip()))
        vectors = np.zeros([len(distinct) + 1, self.size], np.float32)  # The last is for blanks.
        if distinct:
            vectors[:-1] = _unit_or_nan(self._encode(distinct))
        rows = {caption: row for row, caption in enumerate(distinct)}
        return vectors[[rows.get(caption, -1) for caption in captions]]

    def truncated(self, captions: Sequence[str]) -> np.ndarray | None:
        """Returns which captions are longer than the encoder reads, bool `[K]`.

        None where the encoder does not say.
        """
        del captions
        return None

    @abc.abstractmethod
    def _encode(self, captions: list[str]) -> np.ndarray:
        """Returns float `[K, T]` of any length for K ≥ 1 distinct captions, none blank."""


def _unit_or_nan(vectors: np.ndarray) -> np.ndarray:
    """Returns rows of unit length; a row of zeros stays so, one that is not finite becomes NaN."""
    vectors = np.asarray(vectors, np.float64)  # The square of a large float32 overflows.
    finite = np.isfinite(vectors).all(axis=1, keepdims=True)
    return unit_rows(np.where(finite, vectors, np.nan)).astype(np.float32)
