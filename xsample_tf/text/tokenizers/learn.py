"""Learns a WordPiece vocabulary from captions, by tensorflow-text's own learner.

Its result is the same on every run, which that of Hugging Face's trainer is not.
"""

import collections
import re
from collections.abc import Iterable

import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.text.tokenizers.padded import RESERVED
from xsample_tf.text.tokenizers.wordpiece import WordPieceTokenizer

_BATCH = 8192  # Captions whose words are counted by one call.
# The most frequent words and characters; the learner's time grows with them.
_MOST_WORDS, _MOST_CHARACTERS = 50_000, 1000
_LEAST_SIZE = 64
_LEAST_COUNT = 2  # A piece that stands in the captions once is worth no token.


def learn_vocabulary(captions: Iterable[list[str]], size: int) -> list[str]:
    """Returns the WordPiece tokens of captions, in the order of their ids.

    The special tokens "[PAD]" (id 0), "[UNK]", "[CLS]" and "[SEP]" come first, then the characters,
    then pieces by how often they stand in the captions. Words are BERT's, in small letters.

    Args:
        captions: Lists of captions.
        size: The most tokens.

    Raises:
        InputError: A size below 64, captions without words, or with more characters than that.

    Example:
        >>> learn_vocabulary([["a dog", "two dogs"]], 64)[:6]
        ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'a', 'd']
    """
    from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib as learner

    if size < _LEAST_SIZE:
        raise InputError(f"vocabulary: expected at least {_LEAST_SIZE} tokens, received {size}")
    counts = _count_words(captions)
    if not counts:
        raise InputError("vocabulary: expected captions with words, received none")
    found = learner.learn(
        counts,
        size,
        list(RESERVED),
        lower_thresh=_LEAST_COUNT,
        max_input_tokens=_MOST_WORDS,
        # Each character is a token at the beginning and within a word.
        max_unique_chars=min(_MOST_CHARACTERS, (size - len(RESERVED)) // 3),
    )
    return found[:size]  # Where no threshold gives fewer: the last ones are the rarest.


def _count_words(captions: Iterable[list[str]]) -> list[tuple[str, int]]:
    """The words of captions with their numbers, the most frequent ones first."""
    words = WordPieceTokenizer(RESERVED, 1).words
    counts: collections.Counter[bytes] = collections.Counter()
    for group in captions:
        for start in range(0, len(group), _BATCH):
            batch = [text.encode("utf-8", "ignore") for text in group[start : start + _BATCH]]
            counts.update(words(tf.constant(batch)).flat_values.numpy().tolist())
    plain = ((word.decode("utf-8", "ignore"), count) for word, count in counts.items())
    # By the word among equals: the order of the captions must not matter.
    return sorted(
        ((word, count) for word, count in plain if not re.fullmatch(r"\[[A-Z]+\]", word)),
        key=lambda pair: (-pair[1], pair[0]),
    )
