"""Byte-level BPE: RoBERTa's words and merges, inside a TensorFlow graph.

tensorflow-text has none. keras-hub's BytePairTokenizer works in a graph, but gives other ids for
23 of the 1,000 captions in ten scripts of the tests: it parts words by a character of its own,
Devanagari's digit six, and differs at spaces. So words are parted here, and their bytes merged.
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.text.model_files import read_bytes, read_json
from xsample_tf.text.tokenizers.files import TokenizerFiles
from xsample_tf.text.tokenizers.tokenizer import Tokenizer, lower

_VOCABULARY, _MERGES = "vocab.json", "merges.txt"
_LONGEST_WORD = 2048  # Bytes of a word that count.
_PART = "\U0010ffff"  # Parts words; no text has it, since it is not a character.
_SPACE = r"\t-\r\x{85}\p{Z}"
# GPT-2's words (Radford et al. 2019). Of several spaces before a word the last one is the word's,
# or alone; RE2 cannot look ahead, so the others are parted from it first.
_SPACES_BEFORE = rf"([{_SPACE}]+)([{_SPACE}][^{_SPACE}])"
_WORD = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+"
    rf"| ?[^{_SPACE}\p{{L}}\p{{N}}{_PART}]+|[{_SPACE}]+"
)


class ByteBPETokenizer(Tokenizer):
    """The tokens of RoBERTa: bytes, of which the most frequent neighbours were merged in training.

    Args:
        vocabulary: Ids by tokens, whose letters stand for bytes as GPT-2 has them.
        merges: Pairs of tokens that become one, the first in training first.
        max_length: Most tokens of a caption, the two special ones included.
        special: The tokens before and after a caption.
        space_first: Whether a caption gets a space before it.
        lowercase: Whether letters are lower-cased.

    Raises:
        InputError: A byte, a special token or a part of a merge is not in the vocabulary.

    Example:
        >>> ByteBPETokenizer(vocabulary, merges, 512)(["a dog"])
        <tf.RaggedTensor [[0, 102, 2335, 2]]>
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        max_length: int,
        special: tuple[str, str] = ("<s>", "</s>"),
        space_first: bool = False,
        lowercase: bool = False,
    ) -> None:
        super().__init__(sorted(vocabulary, key=vocabulary.get), special, max_length)
        self._space_first, self._lowercase = space_first, lowercase
        try:
            self._bytes = tf.constant([vocabulary[letter] for letter in byte_letters()])
            pairs = [(vocabulary[left], vocabulary[right]) for left, right in merges]
            self._merged = tf.constant([vocabulary[left + right] for left, right in merges])
        except KeyError as error:
            raise InputError(
                f"vocabulary: expected all bytes and the tokens of all merges, received none "
                f"{error.args[0]!r}"
            ) from error
        self._absent = len(merges)  # In place of a merge's number where there is no merge.
        # The first of two merges of one pair counts.
        numbers = {pair: number for number, pair in reversed(list(enumerate(pairs)))}
        keys = [left << 32 | right for left, right in numbers]
        self._numbers = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(keys, list(numbers.values()), tf.int64, tf.int64),
            self._absent,
        )

    def pieces(self, captions: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of K captions without ends."""
        # A word has at least one token, so the words after the maximum would be cut anyway.
        words = self.words(captions)[:, : self._most_pieces]
        distinct, places = tf.unique(words.flat_values)
        ids = tf.gather(self._merge(distinct), places)
        return words.with_flat_values(ids).merge_dims(1, 2)

    def words(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Returns the words of K captions, their spaces included, string `[K, words of each]`."""
        text = tf.strings.regex_replace(text, _PART, "")
        if self._lowercase:
            text = lower(text)
        if self._space_first:
            bare = ~tf.strings.regex_full_match(text, rf"(?s)([{_SPACE}].*)?")
            text = tf.where(bare, tf.strings.join([" ", text]), text)
        text = tf.strings.regex_replace(text, _SPACES_BEFORE, rf"\1{_PART}\2")
        text = tf.strings.regex_replace(text, _WORD, rf"{_PART}\0")
        words = tf.strings.split(text, _PART)
        return tf.ragged.boolean_mask(words, words != "")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def _merge(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of W distinct words, int32 `[W, tokens of each]`.

        In each round, every word has the first merge in training's order done, at its first place.
        """
        words = tf.strings.substr(words, 0, _LONGEST_WORD)
        letters = tf.io.decode_raw(tf.strings.reduce_join(words), tf.uint8)
        lengths = tf.cast(tf.strings.length(words), tf.int64)
        word = tf.repeat(tf.range(tf.size(words, tf.int64)), lengths)
        ids = tf.gather(self._bytes, tf.cast(letters, tf.int32))
        numbers = self._pair_numbers(ids, word, tf.range(tf.size(ids)))
        ids, word, _ = tf.while_loop(
            lambda ids, word, numbers: tf.reduce_any(numbers < self._absent),
            self._round,
            (ids, word, numbers),
            shape_invariants=(tf.TensorShape([None]),) * 3,
        )
        count = tf.size(words, tf.int64)
        return tf.RaggedTensor.from_value_rowids(ids, word, count, validate=False)

    def _round(
        self, ids: tf.Tensor, word: tf.Tensor, numbers: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the state after one merge of each word.

        Args:
            ids: The tokens of all words, int32 `[N]`.
            word: The word of each token, int64 `[N]`, ascending.
            numbers: The merge of each token with the next one, int64 `[N]`.
        """
        count = tf.size(ids, tf.int64)
        best = tf.math.segment_min(numbers * count + tf.range(count), word)
        number, place = best // count, tf.cast(best % count, tf.int32)
        found = number < self._absent
        number, place = tf.boolean_mask(number, found), tf.boolean_mask(place, found)
        ids = tf.tensor_scatter_nd_update(ids, place[:, None], tf.gather(self._merged, number))
        gone = tf.scatter_nd(place[:, None] + 1, tf.ones_like(place), tf.shape(ids))
        kept = gone == 0
        ids, word, numbers = (tf.boolean_mask(one, kept) for one in (ids, word, numbers))
        place -= tf.range(tf.size(place))  # Of each word before, one token is gone.
        changed = tf.concat([place, tf.maximum(place - 1, 0)], 0)
        numbers = tf.tensor_scatter_nd_update(
            numbers, changed[:, None], self._pair_numbers(ids, word, changed)
        )
        return ids, word, numbers

    def _pair_numbers(self, ids: tf.Tensor, word: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Returns the merges of tokens with those after them in their words, int64."""
        following = tf.minimum(places + 1, tf.size(ids) - 1)
        left, right = (tf.cast(tf.gather(ids, one), tf.int64) for one in (places, following))
        inside = (following > places) & (tf.gather(word, places) == tf.gather(word, following))
        numbers = self._numbers.lookup(tf.bitwise.left_shift(left, 32) | right)
        return tf.where(inside, numbers, self._absent)


def byte_letters() -> list[str]:
    """Returns the letters that stand for the bytes 0 to 255 in tokens, as GPT-2 has them.

    Example:
        >>> byte_letters()[ord("a")], byte_letters()[ord(" ")]
        ('a', 'Ġ')
    """
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = (byte for byte in range(256) if byte not in shown)
    others = {byte: chr(256 + place) for place, byte in enumerate(hidden)}
    return [others.get(byte) or chr(byte) for byte in range(256)]


def read(files: TokenizerFiles) -> Callable[[int], ByteBPETokenizer]:
    """Returns what makes the tokenizer of a directory for a maximum length.

    Raises:
        InputError: It is no such tokenizer, or its vocabulary is damaged.
    """
    model = files.model
    files.expect_part("normalizer", "none")
    files.expect_part("pre_tokenizer", "ByteLevel")
    pre_tokenizer = files.content.get("pre_tokenizer") or {}
    files.expect("use_regex", pre_tokenizer.get("use_regex", True), True)
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        files.expect(key, model.get(key) or None, None)
    for key in ("byte_fallback", "ignore_merges"):
        files.expect(key, model.get(key) or False, False)
    # RoBERTa's own class lets its configuration win over tokenizer.json.
    settings = pre_tokenizer if files.generic else files.config
    vocabulary, merges = (model["vocab"], model["merges"]) if model else _from_files(files)
    files.in_order(vocabulary)
    return functools.partial(
        ByteBPETokenizer,
        vocabulary,
        [tuple(one.split(" ") if isinstance(one, str) else one) for one in merges],
        special=files.ends(),
        space_first=bool(settings.get("add_prefix_space", False)),
        lowercase=files.lowercase,
    )


def _from_files(files: TokenizerFiles) -> tuple[dict[str, int], list[str]]:
    """Returns the vocabulary and the merges of files of their own."""
    paths = [os.path.join(files.directory, name) for name in (_VOCABULARY, _MERGES)]
    if not all(map(os.path.exists, paths)):
        raise files.missing(_VOCABULARY, _MERGES)
    lines = read_bytes(paths[1]).decode("utf-8", "replace").splitlines()
    merges = [line for line in lines if line and not line.startswith("#version")]
    return read_json(files.directory, _VOCABULARY), merges
