"""Sentence-transformers directories of the BERT family, run in TensorFlow."""

import dataclasses
import json
import math
import os
from typing import Any

import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError, suggest
from xsample_tf.text.bert import Bert, check_family
from xsample_tf.text.encoder import TextEncoder
from xsample_tf.text.wordpiece import WordPieceTokenizer

_BATCH_TOKENS = 8192  # Of one forward pass, padding included: bounds memory, enough to fill cores.


def _mean(hidden: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(hidden * present, 1) / tf.reduce_sum(present, 1)


def _first(hidden: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    del present
    return hidden[:, 0]


def _max(hidden: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    return tf.reduce_max(hidden + (present - 1) * 1e9, 1)


_POOLINGS = {"mean": _mean, "cls": _first, "max": _max}


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the configuration files of a sentence-transformers directory say.

    Attributes:
        transformer: Directory of the weights, relative to the model's.
        config: BERT's `config.json`.
        pooling: "mean", "cls" or "max".
        max_length: Most tokens of a caption.
        lowercase, strip_accents, split_cjk: The tokenizer's settings.
        prompt: Put before every caption; mostly empty.
    """

    transformer: str
    config: dict[str, Any]
    pooling: str
    max_length: int
    lowercase: bool
    strip_accents: bool
    split_cjk: bool
    prompt: str


class SentenceTransformerEncoder(TextEncoder):
    """A sentence-transformers directory of the BERT family: transformer, pooling, unit length.

    Pooling, casing, maximum length and default prompt are the directory's own. Rows have unit
    length whether or not it has a Normalize module: vectors of this package always do.

    Args:
        handle: Names the encoder.
        directory: `config.json`, `model.safetensors`, `vocab.txt` or `tokenizer.json`, and mostly
            `modules.json`; without that the tokens' mean is taken, as in sentence-transformers.

    Raises:
        InputError: Not of the BERT family, a module or pooling other than those above, or a file is
            missing or damaged.

    Example:
        >>> SentenceTransformerEncoder("minilm", "models/all-MiniLM-L6-v2")(["a dog"]).shape
        (1, 384)
    """

    def __init__(self, handle: str, directory: str) -> None:
        layout = read_layout(directory)
        where = os.path.join(directory, layout.transformer)
        vocabulary = _vocabulary(where)
        if len(vocabulary) > layout.config["vocab_size"]:
            raise InputError(
                f"text encoder {where}: expected at most {layout.config['vocab_size']} tokens "
                f"(vocab_size in config.json), received {len(vocabulary)}"
            )
        bert = Bert(layout.config, _weights(where), where)
        super().__init__(handle, bert.size)
        self._prompt = layout.prompt
        self._tokenizer = WordPieceTokenizer(
            vocabulary, layout.max_length, layout.lowercase, layout.strip_accents, layout.split_cjk
        )
        pool = _POOLINGS[layout.pooling]

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None], tf.int32),
                tf.TensorSpec([None], tf.int32),
            ]
        )
        def embed(ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
            present = tf.sequence_mask(lengths, tf.shape(ids)[1], tf.float32)[..., None]
            return pool(bert(ids, lengths), present)

        self._embed = embed

    def _encode(self, captions: list[str]) -> np.ndarray:
        tokens = self._tokenizer([self._prompt + caption for caption in captions])
        lengths = tokens.row_lengths().numpy()
        order = np.argsort(-lengths, kind="stable")  # By length, so that little is padding.
        vectors = np.empty([len(captions), self.size], np.float32)
        start = 0
        while start < len(order):
            rows = order[start : start + max(1, _BATCH_TOKENS // lengths[order[start]])]
            ids = tf.gather(tokens, rows).to_tensor()
            vectors[rows] = self._embed(ids, lengths[rows].astype(np.int32)).numpy()
            start += len(rows)
        return vectors


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
    check_family(config, where)
    sentence = _read_json(where, "sentence_bert_config.json")
    tokenizer = _read_json(where, "tokenizer_config.json")
    # In sentence-transformers the first wins over the second, and BERT's positions bound both.
    longest = sentence.get("max_seq_length") or tokenizer.get("model_max_length") or math.inf
    lowercase = bool(tokenizer.get("do_lower_case", True))
    accents = tokenizer.get("strip_accents")
    prompts = _read_json(directory, "config_sentence_transformers.json")
    return Layout(
        transformer=transformer,
        config=config,
        pooling=pooling,
        max_length=int(min(longest, config["max_position_embeddings"])),
        lowercase=lowercase or bool(sentence.get("do_lower_case")),
        strip_accents=lowercase if accents is None else bool(accents),
        split_cjk=bool(tokenizer.get("tokenize_chinese_chars", True)),
        prompt=(prompts.get("prompts") or {}).get(prompts.get("default_prompt_name")) or "",
    )


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
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        raise InputError(
            f"text encoder {directory}: expected one pooling mode of its Pooling module, received "
            f"{', '.join(modes)}; {suggest(modes[0], _POOLINGS)}"
        )
    return modes[0]


def _vocabulary(directory: str) -> list[str]:
    """Returns the tokens in the order of their ids, from `vocab.txt` or else `tokenizer.json`."""
    path = os.path.join(directory, "vocab.txt")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as lines:
            return [line.rstrip("\r\n") for line in lines]
    model = _read_json(directory, "tokenizer.json").get("model", {})
    if model.get("type") != "WordPiece":
        raise InputError(
            f"text encoder {directory}: expected BERT's vocabulary in vocab.txt or a WordPiece "
            "tokenizer.json, received neither"
        )
    return sorted(model["vocab"], key=model["vocab"].get)


def _weights(directory: str) -> dict[str, np.ndarray]:
    import safetensors
    from safetensors.tensorflow import load_file  # NumPy's reader has no bfloat16.

    path = os.path.join(directory, "model.safetensors")
    if not os.path.exists(path):
        raise InputError(
            f"text encoder {directory}: expected model.safetensors, found none; if it has "
            "pytorch_model.bin, save it again with safetensors"
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
