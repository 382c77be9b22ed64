"""BERT's tokens: words split as Hugging Face does, their pieces by tensorflow-text."""

import unicodedata
from collections.abc import Sequence

import tensorflow as tf

from xsample_tf.errors import InputError

_LONGEST_WORD = 100  # Characters; BERT takes a longer word for unknown.
_CJK = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


class Characters(dict):
    """What becomes of each character before words are split, for `str.translate`.

    Control characters vanish, white space becomes a space, punctuation and CJK characters stand
    apart, accents and case go as asked (Devlin et al. 2018, "BERT", its reference tokenizer).
    """

    def __init__(self, lowercase: bool, strip_accents: bool, split_cjk: bool) -> None:
        super().__init__()
        self._lowercase = lowercase
        self._strip_accents = strip_accents
        self._split_cjk = split_cjk

    def __missing__(self, code: int) -> str:
        self[code] = self._replacement(code)  # The next one is found without a call.
        return self[code]

    def _replacement(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if character in "\t\n\r" or category[0] == "Z":
            return " "
        if category[0] == "C" or code == 0xFFFD or (self._strip_accents and category == "Mn"):
            return ""
        ascii_symbol = code < 128 and not character.isalnum()  # BERT counts $, +, ~ and so on.
        if ascii_symbol or category[0] == "P":
            return f" {character} "
        if self._split_cjk and any(first <= code <= last for first, last in _CJK):
            return f" {character} "
        return character.lower() if self._lowercase else character


class WordPieceTokenizer:
    """Captions to token ids, `[CLS]` and `[SEP]` included, cut at a maximum length.

    The ids are Hugging Face's, save that "[SEP]" and the like inside a caption are ordinary text.

    Args:
        vocabulary: The tokens in the order of their ids.
        max_length: Most tokens of a caption, the two special ones included.
        lowercase: Whether letters are lower-cased.
        strip_accents: Whether accents are dropped.
        split_cjk: Whether each Chinese, Japanese or Korean ideograph is a word.

    Raises:
        InputError: A special token is missing in the vocabulary, or a token is there twice.

    Example:
        >>> WordPieceTokenizer(vocabulary, 256)(["a dog"])
        <tf.RaggedTensor [[101, 1037, 3899, 102]]>
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_length: int,
        lowercase: bool = True,
        strip_accents: bool = True,
        split_cjk: bool = True,
    ) -> None:
        import tensorflow_text

        for token in ("[UNK]", "[CLS]", "[SEP]"):
            if token not in vocabulary:
                raise InputError(f"vocabulary: expected BERT's tokens, received none named {token}")
        if len(set(vocabulary)) < len(vocabulary):
            twice = next(token for token in vocabulary if vocabulary.count(token) > 1)
            raise InputError(f"vocabulary: expected distinct tokens, received {twice!r} twice")
        self._first = vocabulary.index("[CLS]")
        self._last = vocabulary.index("[SEP]")
        self._most_pieces = max_length - 2
        self._decompose = strip_accents
        self._characters = Characters(lowercase, strip_accents, split_cjk)
        self._pieces = tensorflow_text.FastWordpieceTokenizer(
            list(vocabulary),
            max_bytes_per_word=4 * _LONGEST_WORD,  # A character has up to 4 bytes.
            token_out_type=tf.int32,
            no_pretokenization=True,
        )

    def __call__(self, captions: Sequence[str]) -> tf.RaggedTensor:
        """Returns the ids of K captions, int32 `[K, length of each]`."""
        words = [self._words(caption) for caption in captions]
        flat = tf.constant([word for row in words for word in row], tf.string)
        ragged = tf.RaggedTensor.from_row_lengths(flat, [len(row) for row in words])
        pieces = self._pieces.tokenize(ragged).merge_dims(-2, -1)[:, : self._most_pieces]
        ends = tf.ones([len(captions), 1], tf.int32)
        return tf.concat([ends * self._first, pieces, ends * self._last], axis=1)

    def _words(self, caption: str) -> list[str]:
        if self._decompose:
            caption = unicodedata.normalize("NFD", caption)
        words = caption.translate(self._characters).split(" ")
        # A word has at least one piece, so the words after the maximum would be cut anyway.
        words = [word for word in words if word][: self._most_pieces]
        return [word if len(word) <= _LONGEST_WORD else "[UNK]" for word in words]
