"""What every tokenizer is: captions to token ids inside a TensorFlow graph."""

import abc
from collections.abc import Sequence

import tensorflow as tf

from xsample_tf.errors import InputError


class Tokenizer(tf.Module, abc.ABC):
    """Captions to token ids, a token before and one after them, cut at a maximum length.

    The ids are Hugging Face's, save that "[SEP]" and the like inside a caption are ordinary text.
    Works eagerly and in graphs, so that a SavedModel can hold it. The kinds differ in `pieces`.

    Args:
        tokens: The vocabulary in the order of the ids.
        ends: The tokens before and after a caption.
        max_length: Most tokens of a caption, those two included.

    Attributes:
        size: Tokens of the vocabulary.

    Raises:
        InputError: One of the two is not in the vocabulary.
    """

    def __init__(self, tokens: Sequence[str], ends: tuple[str, str], max_length: int) -> None:
        super().__init__()
        for token in ends:
            require(token, tokens)
        self.size = len(tokens)
        self._first, self._last = (tokens.index(token) for token in ends)
        self._most_pieces = max_length - 2

    def __call__(self, captions: tf.Tensor | Sequence[bytes]) -> tf.RaggedTensor:
        """Returns the ids of K captions in UTF-8, int32 `[K, length of each]`."""
        text = tf.strings.unicode_transcode(captions, "UTF-8", "UTF-8", errors="ignore")
        pieces = self.pieces(text)[:, : self._most_pieces]
        ends = tf.ones([tf.shape(text)[0], 1], tf.int32)
        return tf.concat([ends * self._first, pieces, ends * self._last], axis=1)

    @abc.abstractmethod
    def pieces(self, captions: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of K captions without ends, int32 `[K, length of each]`, cut or not."""


def require(token: str, tokens: Sequence[str]) -> None:
    """Raises InputError unless a special token is in a vocabulary."""
    if token not in tokens:
        raise InputError(
            f"vocabulary: expected the special token {token!r}, received none of that name"
        )


def lower(texts: tf.Tensor) -> tf.Tensor:
    """Returns texts in small letters, each by itself: a sigma that ends a word is no exception."""
    return tf.strings.lower(tf.strings.regex_replace(texts, "Σ", "σ"), "utf-8")
