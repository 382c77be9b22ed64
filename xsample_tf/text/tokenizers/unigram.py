"""Unigram: XLM-R's pieces, by tensorflow-text's SentencePiece."""

import base64
import binascii
import functools
import os
from collections.abc import Callable, Sequence

import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.text.model_files import read_bytes
from xsample_tf.text.tokenizers import precompiled, sentencepiece_model
from xsample_tf.text.tokenizers.files import TokenizerFiles
from xsample_tf.text.tokenizers.sentencepiece_model import CONTROL, NORMAL, UNKNOWN, Piece
from xsample_tf.text.tokenizers.tokenizer import Tokenizer, lower, require

_VOCABULARY = "sentencepiece.bpe.model"
_SPACE = r"[\t-\r\x{85}\p{Z}]"
# Each comes to the same: spaces part words, and those too many or at an end are dropped.
_NORMALIZERS = (
    "Precompiled",
    "Sequence(Precompiled)",
    "Sequence(Precompiled, Replace)",
    "Sequence(Precompiled, Strip, Replace)",
    "none",
)
_PRE_TOKENIZERS = ("Sequence(WhitespaceSplit, Metaspace)", "Metaspace")


class UnigramTokenizer(Tokenizer):
    """The most probable pieces of a caption (Kudo 2018, "Subword Regularization").

    Args:
        pieces: Tokens and log probabilities in the order of their ids.
        max_length: Most tokens of a caption, the two special ones included.
        charsmap: SentencePiece's compiled rules that normalize a text; empty for none.
        special: The tokens before and after a caption, and the one of unknown characters.
        others: More tokens that no text gives.
        lowercase: Whether letters are lower-cased.

    Raises:
        InputError: A special token is missing, or the pieces make no model.

    Example:
        >>> pieces = [("<s>", 0), ("</s>", 0), ("<unk>", 0), ("▁a", -1), ("▁dog", -2)]
        >>> UnigramTokenizer(pieces, 128, special=("<s>", "</s>", "<unk>"))(["a dog"])
        <tf.RaggedTensor [[0, 3, 4, 1]]>
    """

    def __init__(
        self,
        pieces: Sequence[tuple[str, float]],
        max_length: int,
        charsmap: bytes = b"",
        special: tuple[str, str, str] = ("<s>", "</s>", "<unk>"),
        others: Sequence[str] = ("<pad>", "<mask>"),
        lowercase: bool = False,
    ) -> None:
        import tensorflow_text

        tokens = [text for text, _ in pieces]
        first, last, unknown = special
        super().__init__(tokens, (first, last), max_length)
        require(unknown, tokens)
        types = dict.fromkeys((first, last, *others), CONTROL) | {unknown: UNKNOWN}
        model = sentencepiece_model.Model(
            [Piece(text, score, types.get(text, NORMAL)) for text, score in pieces],
            precompiled.without_rules(),  # The pieces alone; the rules are applied before.
        )
        self._lowercase = lowercase
        try:
            self._normalize = precompiled.Precompiled(charsmap) if charsmap else None
            self._pieces = tensorflow_text.SentencepieceTokenizer(
                sentencepiece_model.serialize(model), out_type=tf.int32
            )
            self._pieces.vocab_size()  # Makes it, else the first use would.
        except (tf.errors.OpError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"vocabulary: expected the pieces of a Unigram model, received others ({reason})"
            ) from error

    def pieces(self, captions: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of K captions without ends."""
        if self._lowercase:
            captions = lower(captions)
        if self._normalize is not None:
            captions = self._normalize(captions)
        return self._pieces.tokenize(tf.strings.regex_replace(captions, _SPACE, " "))


def read(files: TokenizerFiles) -> Callable[[int], UnigramTokenizer]:
    """Returns what makes the tokenizer of a directory for a maximum length.

    Raises:
        InputError: It is no such tokenizer, or its vocabulary is damaged.
    """
    files.expect_part("normalizer", *_NORMALIZERS)
    files.expect_part("pre_tokenizer", *_PRE_TOKENIZERS)
    files.expect("byte_fallback", files.model.get("byte_fallback") or False, False)
    pieces, charsmap = _from_content(files) if files.content else _from_model(files)
    unknown = files.special("unk_token", "<unk>")
    if files.model.get("unk_id") is not None:
        unknown = pieces[files.model["unk_id"]][0]
    return functools.partial(
        UnigramTokenizer,
        pieces,
        charsmap=charsmap,
        special=(*files.ends(), unknown),
        others=(files.special("pad_token", "<pad>"), files.special("mask_token", "<mask>")),
        lowercase=files.lowercase,
    )


def _from_content(files: TokenizerFiles) -> tuple[list[tuple[str, float]], bytes]:
    """Returns the pieces and the rules in `tokenizer.json`."""
    normalizer = files.content.get("normalizer") or {}
    parts = {part["type"]: part for part in normalizer.get("normalizers", [normalizer]) if part}
    if "Replace" in parts:
        pattern = parts["Replace"].get("pattern")
        files.expect("a Replace of the pattern", pattern, {"Regex": " {2,}"})
        files.expect("a Replace by the content", parts["Replace"].get("content"), " ", "▁")
    pre_tokenizer = files.content["pre_tokenizer"]
    metaspace = pre_tokenizer.get("pretokenizers", [pre_tokenizer])[-1]
    files.expect("a Metaspace with the replacement", metaspace.get("replacement"), "▁")
    files.expect("prepend_scheme", metaspace.get("prepend_scheme", "always"), "always")
    files.expect("add_prefix_space", metaspace.get("add_prefix_space", True), True)
    coded = parts.get("Precompiled", {}).get("precompiled_charsmap")
    try:
        charsmap = base64.b64decode(coded or "", validate=True)
        return [(text, float(score)) for text, score in files.model["vocab"]], charsmap
    except (binascii.Error, TypeError, ValueError) as error:
        raise InputError(
            f"text encoder {files.directory}: expected pieces and precompiled_charsmap of a "
            f"Unigram model in tokenizer.json, received others ({error})"
        ) from error


def _from_model(files: TokenizerFiles) -> tuple[list[tuple[str, float]], bytes]:
    """Returns the pieces and the rules of SentencePiece's own file, with XLM-R's special tokens."""
    path = os.path.join(files.directory, _VOCABULARY)
    if not os.path.exists(path):
        raise files.missing(_VOCABULARY)
    try:
        model = sentencepiece_model.parse(read_bytes(path))
    except (ValueError, LookupError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"text encoder: {path} is damaged ({error}); copy it again") from error
    if model.type != sentencepiece_model.UNIGRAM:
        raise files.refusal("the model type", model.type, "1 (Unigram)", _VOCABULARY)
    # The file has <unk>, <s> and </s> first; fairseq put <s>, <pad>, </s>, <unk> in their place.
    pieces = [(piece.text, piece.score) for piece in model.pieces[3:]]
    others = [piece for piece in model.pieces[3:] if piece.type != NORMAL]
    if others:
        raise files.refusal(
            "the pieces", f"{others[0].text!r} of type {others[0].type}", "of one type", _VOCABULARY
        )
    first, last = files.usual
    start = [files.special("bos_token", first), files.special("pad_token", "<pad>")]
    start += [files.special("eos_token", last), files.special("unk_token", "<unk>")]
    mask = files.special("mask_token", "<mask>")
    return [*((token, 0.0) for token in start), *pieces, (mask, 0.0)], model.charsmap
