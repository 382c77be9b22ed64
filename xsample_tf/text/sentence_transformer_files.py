"""What the files of a sentence-transformers directory say."""

import dataclasses
import math
import os
import re
from collections.abc import Callable
from typing import Any

from xsample_tf.errors import InputError, suggest
from xsample_tf.text.dense import DenseConfig, read_config
from xsample_tf.text.families import FAMILIES
from xsample_tf.text.model_files import read_json
from xsample_tf.text.tokenizers import Tokenizer, read_tokenizer
from xsample_tf.text.transformer import check_config, longest

POOLINGS = ("mean", "cls", "max")


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the configuration files of a sentence-transformers directory say.

    Attributes:
        transformer: Directory of the weights, relative to the model's.
        config: The transformer's `config.json`.
        pooling: "mean", "cls" or "max".
        dense: The dense layers after the pooling.
        make_tokenizer: Makes the tokenizer for most tokens of a caption.
        max_length: Most tokens of a caption.
        prompt: Put before every caption; mostly empty.
    """

    transformer: str
    config: dict[str, Any]
    pooling: str
    dense: tuple[DenseConfig, ...]
    make_tokenizer: Callable[[int], Tokenizer]
    max_length: int
    prompt: str


def read_layout(directory: str, option: str = "") -> Layout:
    """Reads the configuration files, in the layouts of sentence-transformers 2 to 6.

    Args:
        directory: As for `SentenceTransformerEncoder`.
        option: As for `SentenceTransformerEncoder`.

    Raises:
        InputError: As `SentenceTransformerEncoder`.

    Example:
        >>> read_layout("models/all-MiniLM-L6-v2").pooling
        'mean'
    """
    transformer, pooling, dense = _modules(directory)
    where = os.path.join(directory, transformer)
    config = read_json(where, "config.json", required=True)
    check_config(config, where)
    sentence = read_json(where, "sentence_bert_config.json")
    # In sentence-transformers the first wins over the second, and the positions bound both.
    usual = read_json(where, "tokenizer_config.json").get("model_max_length")
    most = sentence.get("max_seq_length") or usual or math.inf
    prompt = _prompt(directory, option)
    if prompt and not pooling.get("include_prompt", True):
        raise InputError(
            f"text encoder {directory}: expected a pooling with the prompt's tokens, received "
            f"include_prompt false and the prompt {prompt!r}; choose another encoder"
        )
    return Layout(
        transformer=transformer,
        config=config,
        pooling=_pooling(pooling, directory),
        dense=dense,
        make_tokenizer=read_tokenizer(
            where,
            config,
            FAMILIES[config["model_type"]].tokenizer,
            lowercase=bool(sentence.get("do_lower_case")),
        ),
        max_length=int(min(most, longest(config))),
        prompt=prompt,
    )


def _modules(directory: str) -> tuple[str, dict[str, Any], tuple[DenseConfig, ...]]:
    """Returns the transformer's directory, relative, the pooling's settings, the dense layers."""
    modules = read_json(directory, "modules.json", kind=list)
    if not modules:
        return "", {}, ()
    kinds = [module.get("type", "?").rsplit(".", 1)[-1] for module in modules]
    if not re.fullmatch(r"Transformer Pooling( Dense)*( Normalize)?", " ".join(kinds)):
        raise InputError(
            f"text encoder {directory}: expected modules Transformer, Pooling, maybe Dense and "
            f"maybe Normalize in modules.json, received {', '.join(kinds)}; choose another "
            "encoder, or convert this one to a SavedModel and pass that"
        )
    paths = [module.get("path", "") for module in modules]
    pooling = read_json(os.path.join(directory, paths[1]), "config.json", required=True)
    dense = [
        read_config(os.path.join(directory, path))
        for kind, path in zip(kinds, paths, strict=True)
        if kind == "Dense"
    ]
    return paths[0], pooling, tuple(dense)


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


def _prompt(directory: str, option: str) -> str:
    """Returns what is put before every caption; mostly nothing."""
    kind, _, value = option.partition("=")
    if kind == "prefix":
        return f"{value.strip()} "
    config = read_json(directory, "config_sentence_transformers.json")
    prompts, name = config.get("prompts") or {}, config.get("default_prompt_name")
    if kind == "prompt":
        if value not in prompts:
            raise InputError(
                f"text encoder {directory}: expected a prompt of config_sentence_transformers.json "
                f"behind #prompt=, received {value!r}; "
                + (suggest(value, prompts) if prompts else "it has none, #prefix=TEXT gives one")
            )
        name = value
    return prompts.get(name) or ""
