"""Captions to tokens of one length, for a text tower."""

from collections.abc import Sequence

import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.text.tokenizers.wordpiece import WordPieceTokenizer

# The first tokens of a vocabulary that `learn_vocabulary` makes; padding is 0.
RESERVED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


class PaddedTokenizer(tf.Module):
    """Strings to tokens int32 `[B, length]`: a first one, pieces, an end token, padding of 0.

    The end token is there however long a text is. Works in graphs, so that `data.load` and a
    SavedModel can hold it.

    Args:
        vocabulary: The tokens in the order of their ids, the first four as `learn_vocabulary` has
            them.
        length: L, tokens of a text with the first and the end token.

    Raises:
        InputError: A vocabulary that begins otherwise, or a length below 3.

    Example:
        >>> PaddedTokenizer(data.read_vocabulary(dataset), 8)(tf.constant(["a dog"]))
        <tf.Tensor [[2, 4, 97, 3, 0, 0, 0, 0]]>
    """

    def __init__(self, vocabulary: Sequence[str], length: int):
        super().__init__()
        if tuple(vocabulary[: len(RESERVED)]) != RESERVED:
            raise InputError(
                f"vocabulary: expected {', '.join(RESERVED)} as its first tokens, received "
                f"{', '.join(vocabulary[: len(RESERVED)]) or 'none'}"
            )
        if length < 3:
            raise InputError(f"text_tokens: expected at least 3, received {length}")
        self.length, self.size = length, len(vocabulary)
        self._tokenizer = WordPieceTokenizer(vocabulary, length)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def __call__(self, captions: tf.Tensor) -> tf.Tensor:
        """Returns int32 `[B, length]` for strings `[B]` in UTF-8."""
        return self._tokenizer(captions).to_tensor(0, shape=[None, self.length])
