"""What the files of a sentence-transformers directory say."""

import dataclasses
import json
import math
import os
from typing import Any

import numpy as np

from xsample_tf.errors import InputError, suggest
from xsample_tf.text.transformer import FAMILIES, check_config, longest

POOLINGS = ("mean", "cls", "max")
_GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")  # Classes that tokenizer.json makes.
_SPECIAL = ("cls_token", "sep_token", "unk_token")


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the configuration files of a sentence-transformers directory say.

    Attributes:
        transformer: Directory of the weights, relative to the model's.
        config: The transformer's `config.json`.
        pooling: "mean", "cls" or "max".
        max_length: Most tokens of a caption.
        lowercase, strip_accents, split_cjk: The tokenizer's settings.
        special: The tokens before and after a caption, and the one of unknown words.
        prompt: Put before every caption; mostly empty.
    """

    transformer: str
    config: dict[str, Any]
    pooling: str
    max_length: int
    lowercase: bool
    strip_accents: bool
    split_cjk: bool
    special: tuple[str, str, str]
    prompt: str


def read_layout(directory: str) -> Layout:
    """Reads the configuration files, in the layouts of sentence-transformers 2 to 6.

    Raises:
        InputError: As `SentenceTransformerEncoder`.

    Example:
        >>> read_layout("models/all-MiniLM-L6-v2").pooling
        'mean'
    """
    transformer, pooling = _modules(directory)
    where = os.path.join(directory, transformer)
    config = _read_json(where, "config.json", required=True)
    check_config(config, where)
    sentence = _read_json(where, "sentence_bert_config.json")
    tokenizer = _read_json(where, "tokenizer_config.json")
    # In sentence-transformers the first wins over the second, and the positions bound both.
    most = sentence.get("max_seq_length") or tokenizer.get("model_max_length") or math.inf
    lowercase, accents, split_cjk = _normalizer(where, tokenizer)
    prompts = _read_json(directory, "config_sentence_transformers.json")
    return Layout(
        transformer=transformer,
        config=config,
        pooling=pooling,
        max_length=int(min(most, longest(config))),
        lowercase=lowercase or bool(sentence.get("do_lower_case")),
        strip_accents=lowercase if accents is None else bool(accents),
        split_cjk=split_cjk,
        special=_special(tokenizer, FAMILIES[config["model_type"]].special),
        prompt=(prompts.get("prompts") or {}).get(prompts.get("default_prompt_name")) or "",
    )


def _normalizer(directory: str, tokenizer: dict[str, Any]) -> tuple[bool, bool | None, bool]:
    """Returns whether letters are lower-cased, accents dropped and ideographs split."""
    if tokenizer.get("tokenizer_class") in _GENERIC:
        settings = _read_json(directory, "tokenizer.json").get("normalizer") or {}
        keys, default = ("lowercase", "strip_accents", "handle_chinese_chars"), False
    else:  # BERT's and MPNet's own classes let these win over tokenizer.json.
        settings = tokenizer
        keys, default = ("do_lower_case", "strip_accents", "tokenize_chinese_chars"), True
    lowercase, accents, split_cjk = keys
    return (
        bool(settings.get(lowercase, default)),
        settings.get(accents),
        bool(settings.get(split_cjk, default)),
    )


def _special(tokenizer: dict[str, Any], usual: tuple[str, str, str]) -> tuple[str, str, str]:
    """Returns the special tokens that the tokenizer's configuration names, or else the usual."""
    named = [tokenizer.get(key) or token for key, token in zip(_SPECIAL, usual, strict=True)]
    first, last, unknown = (t["content"] if isinstance(t, dict) else t for t in named)
    return first, last, unknown


def _modules(directory: str) -> tuple[str, str]:
    """Returns the transformer's directory, relative, and the pooling's name."""
    modules = _read_json(directory, "modules.json", kind=list)
    if not modules:
        return "", "mean"
    paths = {m.get("type", "?").rsplit(".", 1)[-1]: m.get("path", "") for m in modules}
    unknown = sorted(set(paths) - {"Transformer", "Pooling", "Normalize"})
    if unknown or "Transformer" not in paths or "Pooling" not in paths:
        raise InputError(
            f"text encoder {directory}: expected modules Transformer, Pooling and maybe Normalize "
            f"in modules.json, received {', '.join(paths)}; choose another encoder, or convert "
            "this one to a SavedModel and pass that"
        )
    pooling = _read_json(os.path.join(directory, paths["Pooling"]), "config.json", required=True)
    return paths["Transformer"], _pooling(pooling, directory)


def _pooling(config: dict[str, Any], directory: str) -> str:
    """Returns the pooling's name, which older files give as one flag per kind."""
    modes = config.get("pooling_mode")
    if modes is None:
        flags = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
        names = [key.removeprefix("pooling_mode_").removesuffix("_token") for key in flags]
        modes = [name.removesuffix("_tokens") for name in names] or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise InputError(
            f"text encoder {directory}: expected one pooling mode of its Pooling module, received "
            f"{', '.join(modes)}; {suggest(modes[0], POOLINGS)}"
        )
    return modes[0]


def read_vocabulary(directory: str) -> list[str]:
    """Returns the tokens in the order of their ids, from `vocab.txt` or else `tokenizer.json`.

    Raises:
        InputError: There is neither, or a tokenizer of another kind.

    Example:
        >>> read_vocabulary("models/all-MiniLM-L6-v2")[101]
        '[CLS]'
    """
    path = os.path.join(directory, "vocab.txt")
    if os.path.exists(path):
        try:
            with open(path, encoding="utf-8") as lines:
                return [line.rstrip("\r\n") for line in lines]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"text encoder: expected UTF-8 in {path}, received {error}") from error
    model = _read_json(directory, "tokenizer.json").get("model", {})
    if model.get("type") != "WordPiece":
        raise InputError(
            f"text encoder {directory}: expected a WordPiece vocabulary in vocab.txt or in "
            "tokenizer.json, found neither; copy the tokenizer's files beside the weights"
        )
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    if [model["vocab"][token] for token in tokens] != list(range(len(tokens))):
        raise InputError(
            f"text encoder {directory}: expected the ids 0, 1, 2, ... in the vocabulary of "
            "tokenizer.json, received a gap or an id twice"
        )
    return tokens


def read_weights(directory: str) -> dict[str, np.ndarray]:
    """Returns the tensors of `model.safetensors` by name.

    Raises:
        InputError: It is missing or damaged.

    Example:
        >>> read_weights("models/all-MiniLM-L6-v2")["embeddings.LayerNorm.weight"].shape
        (384,)
    """
    import safetensors
    from safetensors.tensorflow import load_file  # NumPy's reader has no bfloat16.

    path = os.path.join(directory, "model.safetensors")
    if not os.path.exists(path):
        pickled = os.path.exists(os.path.join(directory, "pytorch_model.bin"))
        found = "only pytorch_model.bin, which can run code when read" if pickled else "none"
        raise InputError(
            f"text encoder {directory}: expected the weights in model.safetensors, found {found}; "
            "where a model has pytorch_model.bin alone, SentenceTransformer(DIR).save(NEW_DIR) in "
            "PyTorch writes it anew"
        )
    try:
        return {name: tensor.numpy() for name, tensor in load_file(path).items()}
    except safetensors.SafetensorError as error:
        raise InputError(f"text encoder: {path} is damaged ({error}); copy it again") from error


def _read_json(directory: str, name: str, required: bool = False, kind: type = dict) -> Any:
    """Returns the file's content; an empty one where there is no file, unless it is required."""
    path = os.path.join(directory, name)
    if not os.path.exists(path) and not required:
        return kind()
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError) as error:
        raise InputError(f"text encoder: expected JSON in {path}, received {error}") from error
    if not isinstance(content, kind):
        raise InputError(f"text encoder: expected a JSON {kind.__name__} in {path}, received other")
    return content
