"""WordPiece tokens inside a TensorFlow graph: words as Hugging Face has them, pieces by tf-text."""

from collections.abc import Sequence

import tensorflow as tf

from xsample_tf.errors import InputError

_LONGEST_WORD = 100  # Characters; BERT takes a longer word for unknown.
# Character classes of RE2. What BERT takes for white space but removes as control stays out of it.
_SPACE = r"[\t\n\r\p{Z}]"
_CONTROL = r"\p{C}\x{FFFD}"
_ACCENT = r"\p{Mn}"
_PUNCTUATION = r"!-/:-@\[-`{-~\p{P}"  # BERT counts all of ASCII's symbols: $, +, ~ and so on.
_CJK = (
    r"\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}"
    r"\x{2B740}-\x{2B81F}\x{2B820}-\x{2CEAF}\x{2F800}-\x{2FA1F}"
)


class WordPieceTokenizer:
    """Captions to token ids, the two special ones included, cut at a maximum length.

    The ids are Hugging Face's (Devlin et al. 2018, "BERT", its reference tokenizer), save that
    "[SEP]" and the like inside a caption are ordinary text. Works eagerly and in graphs, so that a
    SavedModel can hold it.

    Args:
        vocabulary: The tokens in the order of their ids.
        max_length: Most tokens of a caption, the two special ones included.
        lowercase: Whether letters are lower-cased.
        strip_accents: Whether accents are dropped.
        split_cjk: Whether each Chinese, Japanese or Korean ideograph is a word.
        special: The tokens before and after a caption, and the one of unknown words.

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
        special: tuple[str, str, str] = ("[CLS]", "[SEP]", "[UNK]"),
    ) -> None:
        import tensorflow_text

        for token in special:
            if token not in vocabulary:
                raise InputError(
                    f"vocabulary: expected the special token {token!r}, received none of that name"
                )
        if len(set(vocabulary)) < len(vocabulary):
            twice = next(token for token in vocabulary if vocabulary.count(token) > 1)
            raise InputError(f"vocabulary: expected distinct tokens, received {twice!r} twice")
        first, last, self._unknown = special
        self._first, self._last = vocabulary.index(first), vocabulary.index(last)
        self._most_pieces = max_length - 2
        self._lowercase = lowercase
        self._strip_accents = strip_accents
        self._removed = f"[{_CONTROL}{_ACCENT if strip_accents else ''}]"
        self._apart = f"[{_PUNCTUATION}{_CJK if split_cjk else ''}]"
        self._pieces = tensorflow_text.FastWordpieceTokenizer(
            list(vocabulary),
            max_bytes_per_word=4 * _LONGEST_WORD,  # A character has up to 4 bytes.
            token_out_type=tf.int32,
            unknown_token=self._unknown,
            no_pretokenization=True,
        )

    def __call__(self, captions: tf.Tensor | Sequence[bytes]) -> tf.RaggedTensor:
        """Returns the ids of K captions in UTF-8, int32 `[K, length of each]`."""
        # A word has at least one piece, so the words after the maximum would be cut anyway.
        words = self.words(captions)[:, : self._most_pieces]
        pieces = self._pieces.tokenize(words).merge_dims(-2, -1)[:, : self._most_pieces]
        ends = tf.ones([tf.shape(captions)[0], 1], tf.int32)
        return tf.concat([ends * self._first, pieces, ends * self._last], axis=1)

    def words(self, captions: tf.Tensor | Sequence[bytes]) -> tf.RaggedTensor:
        """Returns the words of K captions, string `[K, words of each]`; bytes not UTF-8 vanish."""
        import tensorflow_text

        text = tf.strings.unicode_transcode(captions, "UTF-8", "UTF-8", errors="ignore")
        if self._strip_accents:
            text = tensorflow_text.normalize_utf8(text, "NFD")
        text = tf.strings.regex_replace(text, _SPACE, " ")
        text = tf.strings.regex_replace(text, self._removed, "")
        text = tf.strings.regex_replace(text, self._apart, r" \0 ")
        if self._lowercase:  # Letter by letter: a sigma that ends a word is no exception.
            text = tf.strings.lower(tf.strings.regex_replace(text, "Σ", "σ"), "utf-8")
        words = tf.strings.split(text)
        long = tf.strings.length(words.flat_values, "UTF8_CHAR") > _LONGEST_WORD
        return words.with_flat_values(tf.where(long, self._unknown, words.flat_values))
