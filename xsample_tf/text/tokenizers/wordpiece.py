"""WordPiece: words as BERT has them, pieces by tensorflow-text."""

import functools
import os
from collections.abc import Callable, Sequence

import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.text.model_files import read_bytes
from xsample_tf.text.tokenizers.files import TokenizerFiles
from xsample_tf.text.tokenizers.tokenizer import Tokenizer, lower, require

_VOCABULARY = "vocab.txt"
_LONGEST_WORD = 100  # Characters; BERT takes a longer word for unknown.
# Character classes of RE2. What BERT takes for white space but removes as control stays out of it.
_SPACE = r"[\t\n\r\p{Z}]"
_CONTROL = r"\p{C}\x{FFFD}"
_ACCENT = r"\p{Mn}"
_PUNCTUATION = r"!-/:-@\[-`{-~\p{P}"  # BERT counts all of ASCII's symbols: $, +, ~ and so on.
_CJK = (  # As in Hugging Face's tokenizers, without 2B820 to 2B91F.
    r"\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}"
    r"\x{2B740}-\x{2B81F}\x{2B920}-\x{2CEAF}\x{2F800}-\x{2FA1F}"
)


class WordPieceTokenizer(Tokenizer):
    """The tokens of BERT, DistilBERT and MPNet (Devlin et al. 2018, its reference tokenizer).

    Accents and punctuation that Unicode has had since version 9 are such here, in Hugging Face's
    tokenizers not.

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

        *ends, self._unknown = special
        super().__init__(vocabulary, ends, max_length)
        require(self._unknown, vocabulary)
        if len(set(vocabulary)) < len(vocabulary):
            twice = next(token for token in vocabulary if vocabulary.count(token) > 1)
            raise InputError(f"vocabulary: expected distinct tokens, received {twice!r} twice")
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

    def pieces(self, captions: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of K captions without ends."""
        # A word has at least one piece, so the words after the maximum would be cut anyway.
        words = self.words(captions)[:, : self._most_pieces]
        return self._pieces.tokenize(words).merge_dims(-2, -1)

    def words(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Returns the words of K captions, string `[K, words of each]`."""
        import tensorflow_text

        if self._strip_accents:
            text = tensorflow_text.normalize_utf8(text, "NFD")
        text = tf.strings.regex_replace(text, _SPACE, " ")
        text = tf.strings.regex_replace(text, self._removed, "")
        text = tf.strings.regex_replace(text, self._apart, r" \0 ")
        if self._lowercase:
            text = lower(text)
        words = tf.strings.split(text)
        long = tf.strings.length(words.flat_values, "UTF8_CHAR") > _LONGEST_WORD
        return words.with_flat_values(tf.where(long, self._unknown, words.flat_values))


def read(files: TokenizerFiles) -> Callable[[int], WordPieceTokenizer]:
    """Returns what makes the tokenizer of a directory for a maximum length.

    Raises:
        InputError: It is no such tokenizer, or its vocabulary is damaged.
    """
    model = files.model
    files.expect_part("normalizer", "BertNormalizer")
    files.expect_part("pre_tokenizer", "BertPreTokenizer")
    normalizer = files.content.get("normalizer") or {}
    files.expect("clean_text of its normalizer", normalizer.get("clean_text", True), True)
    prefix = model.get("continuing_subword_prefix", "##")
    files.expect("continuing_subword_prefix", prefix, "##")
    longest = model.get("max_input_chars_per_word", _LONGEST_WORD)
    files.expect("max_input_chars_per_word", longest, _LONGEST_WORD)
    if files.generic:
        settings, unknown = normalizer, model.get("unk_token", "[UNK]")
        keys = ("lowercase", "strip_accents", "handle_chinese_chars")
    else:  # The classes let their own configuration win over tokenizer.json.
        settings, unknown = files.config, files.special("unk_token", "[UNK]")
        keys = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
    lowercase, accents, split_cjk = (settings.get(key) for key in keys)
    lowercase = lowercase in (None, True)
    return functools.partial(
        WordPieceTokenizer,
        _vocabulary(files),
        lowercase=lowercase or files.lowercase,
        strip_accents=lowercase if accents is None else bool(accents),
        split_cjk=split_cjk in (None, True),
        special=(*files.ends(), unknown),
    )


def _vocabulary(files: TokenizerFiles) -> list[str]:
    """Returns the tokens in the order of their ids."""
    vocabulary = files.model.get("vocab")
    if vocabulary is not None:
        return files.in_order(vocabulary)
    path = os.path.join(files.directory, _VOCABULARY)
    if not os.path.exists(path):
        raise files.missing(_VOCABULARY)
    try:
        text = read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"text encoder: expected UTF-8 in {path}, received {error}") from error
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")
