"""The tokenizer of a directory: its class and parts are checked, then its kind reads it."""

from collections.abc import Callable
from typing import Any

from xsample_tf.errors import InputError
from xsample_tf.text.model_files import read_json
from xsample_tf.text.tokenizers import byte_bpe, unigram, wordpiece
from xsample_tf.text.tokenizers.files import CONFIG, CONTENT, TokenizerFiles
from xsample_tf.text.tokenizers.tokenizer import Tokenizer

# By the type of the model in tokenizer.json: what reads it.
_KINDS = {"BPE": byte_bpe.read, "Unigram": unigram.read, "WordPiece": wordpiece.read}
# By the class in transformers: type of the model, and the tokens around a text.
_CLASSES = {
    "BertTokenizer": ("WordPiece", ("[CLS]", "[SEP]")),
    "DistilBertTokenizer": ("WordPiece", ("[CLS]", "[SEP]")),
    "MPNetTokenizer": ("WordPiece", ("<s>", "</s>")),
    "RobertaTokenizer": ("BPE", ("<s>", "</s>")),
    "XLMRobertaTokenizer": ("Unigram", ("<s>", "</s>")),
}
_GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")  # Those that tokenizer.json makes.


def read_tokenizer(
    directory: str, model_config: dict[str, Any], usual_class: str, lowercase: bool = False
) -> Callable[[int], Tokenizer]:
    """Returns what makes the tokenizer of a directory for a maximum length.

    Args:
        directory: `tokenizer.json`, or the vocabulary in a file of its own, and mostly
            `tokenizer_config.json`.
        model_config: The model's `config.json`.
        usual_class: Class of transformers where neither file names one.
        lowercase: Whether texts are lower-cased before anything else.

    Raises:
        InputError: The class, or a part of `tokenizer.json`, is not implemented: the ids would be
            others than the model's own. Or a file is missing or damaged.

    Example:
        >>> make = read_tokenizer("models/minilm", {"model_type": "bert"}, "BertTokenizer")
        >>> make(256)(["a dog"])
        <tf.RaggedTensor [[101, 1037, 3899, 102]]>
    """
    config, content = read_json(directory, CONFIG), read_json(directory, CONTENT)
    named = str(config.get("tokenizer_class") or model_config.get("tokenizer_class") or usual_class)
    kind, usual = _CLASSES.get(named.removesuffix("Fast"), (None, ("", "")))
    try:
        in_content = _kind(content["model"]) if content else kind
        # A class of another kind counts for nothing: transformers loads tokenizer.json then.
        files = TokenizerFiles(directory, config, content, usual, kind != in_content, lowercase)
        if kind is None and named not in _GENERIC:
            source = CONFIG if config.get("tokenizer_class") else "config.json"
            raise files.refusal("the class", named, _known(), source)
        _check(files, in_content, named)
        return _KINDS[in_content](files)
    except InputError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"text encoder {directory}: expected {CONFIG} and {CONTENT} as transformers writes "
            f"them, received others ({type(error).__name__}: {error}); copy them again"
        ) from error


def _check(files: TokenizerFiles, kind: str | None, named: str) -> None:
    """Raises InputError for what is implemented for no class."""
    if "AutoTokenizer" in (files.config.get("auto_map") or {}):
        raise files.refusal("the class", "code of its own (auto_map)", _known(), CONFIG)
    words = files.config.get("word_tokenizer_type") or "basic"  # Of the Japanese ones.
    if words != "basic":
        raise files.refusal("word_tokenizer_type", repr(words), "'basic'", CONFIG)
    if kind is None:
        raise InputError(
            f"text encoder {files.directory}: expected {CONTENT}, which the class {named} is made "
            "of, found none; copy the tokenizer's files beside the weights"
        )
    if kind not in _KINDS:
        raise files.refusal("the model", kind, " or ".join(_KINDS))
    files.check_added_tokens()


def _known() -> str:
    return " or ".join(", ".join((*_CLASSES, *_GENERIC)).rsplit(", ", 1))


def _kind(model: dict[str, Any]) -> str:
    """Returns the type of the model, which older files do not name."""
    if "merges" in model:
        usual = "BPE"
    else:
        usual = "Unigram" if isinstance(model.get("vocab"), list) else "WordPiece"
    return model.get("type", usual)
