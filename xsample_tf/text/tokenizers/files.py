"""What the files of a directory say about its tokenizer; refusals of what is not implemented."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from xsample_tf.errors import InputError
from xsample_tf.text.model_files import read_json

CONFIG = "tokenizer_config.json"
CONTENT = "tokenizer.json"
_SPECIAL = tuple(f"{name}_token" for name in ("cls", "sep", "unk", "pad", "mask", "bos", "eos"))


@dataclasses.dataclass(frozen=True)
class TokenizerFiles:
    """The tokenizer of a directory, in the words of its files.

    Attributes:
        directory: Where the files are.
        config: `tokenizer_config.json`.
        content: `tokenizer.json`; empty where there is none.
        usual: The tokens before and after a text where no file names them.
        generic: Whether `tokenizer.json` alone decides, and not a class of transformers.
        lowercase: Whether texts are lower-cased before anything else.
    """

    directory: str
    config: dict[str, Any]
    content: dict[str, Any]
    usual: tuple[str, str]
    generic: bool
    lowercase: bool

    @property
    def model(self) -> dict[str, Any]:
        """The part of `tokenizer.json` with the vocabulary; empty where there is none."""
        return self.content.get("model") or {}

    def refusal(self, what: str, received: Any, expected: Any, file: str = CONTENT) -> InputError:
        """Returns the error for a tokenizer whose ids would be others than the model's own."""
        return InputError(
            f"text encoder {self.directory}: expected a tokenizer with {what} {expected}, received "
            f"{received} in {file}; choose another encoder, or convert this one to a SavedModel "
            "and pass that"
        )

    def missing(self, *names: str) -> InputError:
        """Returns the error for a vocabulary that is not there."""
        return InputError(
            f"text encoder {self.directory}: expected the vocabulary in {CONTENT} or "
            f"{' and '.join(names)}, found neither; copy the tokenizer's files beside the weights"
        )

    def expect(self, what: str, received: Any, *accepted: Any) -> None:
        """Raises InputError unless a setting of `tokenizer.json` is one of those accepted."""
        if received not in accepted:
            raise self.refusal(what, repr(received), " or ".join(map(repr, accepted)))

    def expect_part(self, name: str, *accepted: str) -> None:
        """Raises InputError unless a part of `tokenizer.json`, if that is there, is accepted.

        Args:
            name: "normalizer" or "pre_tokenizer".
            accepted: As `describe` gives it.
        """
        if self.content:
            received = describe(self.content.get(name))
            if received not in accepted:
                raise self.refusal(f"the {name}", received, " or ".join(accepted))

    def special(self, key: str, usual: str) -> str:
        """Returns a special token that the configuration names, such as "unk_token"."""
        token = self.config.get(key) or usual
        return token["content"] if isinstance(token, dict) else token

    def ends(self) -> tuple[str, str]:
        """Returns the tokens before and after a text.

        Raises:
            InputError: The post-processor of `tokenizer.json` adds others.
        """
        if not self.content:
            first, last = self.usual
            return self.special("cls_token", first), self.special("sep_token", last)
        added = _added(self.content.get("post_processor") or {})
        if added is None:
            received = describe(self.content.get("post_processor"))
            raise self.refusal("the post_processor", received, "[CLS] text [SEP]")
        return added

    def check_added_tokens(self) -> None:
        """Raises InputError for words that are found in a text before anything else.

        Special tokens may be there: captions have none.
        """
        if self.content:
            tokens = self.content.get("added_tokens") or []
        else:
            names = read_json(self.directory, "added_tokens.json")
            tokens = [{"content": name, "special": False} for name in names]
        special = {self.special(name, "") for name in _SPECIAL} | {self.model.get("unk_token")}
        words = [
            token["content"]
            for token in tokens
            if not token.get("special") and token["content"] not in special
        ]
        if words:
            raise self.refusal("added_tokens", ", ".join(map(repr, words[:3])), "that are special")

    def in_order(self, vocabulary: Mapping[str, int]) -> list[str]:
        """Returns the tokens of a vocabulary by their ids.

        Raises:
            InputError: The ids are not 0, 1, 2 and so on.
        """
        tokens = sorted(vocabulary, key=vocabulary.get)
        if [vocabulary[token] for token in tokens] != list(range(len(tokens))):
            raise InputError(
                f"text encoder {self.directory}: expected the ids 0, 1, 2, ... in the vocabulary, "
                "received a gap or an id twice"
            )
        return tokens


def describe(part: dict[str, Any] | None) -> str:
    """Returns the type of a part of `tokenizer.json`, those of a sequence in brackets.

    Example:
        >>> describe({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]})
        'Sequence(NFC, Lowercase)'
    """
    if not part:
        return "none"
    inner = next((value for value in part.values() if _is_parts(value)), None)
    kind = part.get("type", "?")
    return kind if inner is None else f"{kind}({', '.join(describe(one) for one in inner)})"


def _is_parts(value: Any) -> bool:
    """Whether a value is the list of the parts of a sequence."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and "type" in one for one in value)
    )


def _added(processor: dict[str, Any]) -> tuple[str, str] | None:
    """Returns the tokens that a post-processor adds before and after one text; else None."""
    kind = processor.get("type")
    if kind == "Sequence":  # ByteLevel changes places in the text alone.
        inner = [one for one in processor["processors"] if one.get("type") != "ByteLevel"]
        return _added(inner[0]) if len(inner) == 1 else None
    if kind in ("BertProcessing", "RobertaProcessing"):
        return processor["cls"][0], processor["sep"][0]
    if kind != "TemplateProcessing" or len(processor["single"]) != 3:
        return None
    first, text, last = processor["single"]
    if "Sequence" not in text or "SpecialToken" not in first or "SpecialToken" not in last:
        return None
    return first["SpecialToken"]["id"], last["SpecialToken"]["id"]
