"""Sentence-transformers directories of the BERT and MPNet families, run in TensorFlow."""

import dataclasses
import json
import math
import os
from typing import Any

import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError, suggest
from xsample_tf.text.encoder import TextEncoder
from xsample_tf.text.transformer import FAMILIES, Transformer, check_config, longest
from xsample_tf.text.wordpiece import WordPieceTokenizer

_BATCH_TOKENS = 1024  # Of one forward pass, padding included: its activations fit the cache.
_SPECIAL = ("cls_token", "sep_token", "unk_token")
_BLANK = r"[\s\x{0B}\x{1C}-\x{1F}\x{85}\p{Z}]*"  # What `str.strip` takes away.


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


class SentenceTransformerEncoder(TextEncoder):
    """A sentence-transformers directory: BERT or MPNet, pooling, unit length.

    Pooling, casing, maximum length and default prompt are the directory's own. Rows have unit
    length whether or not it has a Normalize module: vectors of this package always do.

    Args:
        handle: Names the encoder.
        directory: `config.json`, `model.safetensors`, `vocab.txt` or `tokenizer.json`, and mostly
            `modules.json`; without that the tokens' mean is taken, as in sentence-transformers.

    Attributes:
        graph: The same as a function of TensorFlow, for a SavedModel.

    Raises:
        InputError: Of another family, a module or pooling other than those above, or a file is
            missing or damaged.

    Example:
        >>> SentenceTransformerEncoder("minilm", "models/all-MiniLM-L6-v2")(["a dog"]).shape
        (1, 384)
    """

    def __init__(self, handle: str, directory: str) -> None:
        self.graph = SentenceGraph(directory)
        super().__init__(handle, self.graph.size)

    def _encode(self, captions: list[str]) -> np.ndarray:
        tokens = self.graph.tokenize([caption.encode("utf-8", "ignore") for caption in captions])
        lengths = tokens.row_lengths().numpy()
        order = np.argsort(-lengths, kind="stable")  # By length, so that little is padding.
        vectors = np.empty([len(captions), self.size], np.float32)
        start = 0
        while start < len(order):
            rows = order[start : start + max(1, _BATCH_TOKENS // lengths[order[start]])]
            vectors[rows] = self.graph.embed(tf.gather(tokens, rows)).numpy()
            start += len(rows)
        return vectors


class SentenceGraph(tf.Module):
    """A sentence-transformers directory as functions of TensorFlow.

    Args:
        directory: As for `SentenceTransformerEncoder`.

    Attributes:
        size: T, the length of a vector.

    Example:
        >>> SentenceGraph("models/all-MiniLM-L6-v2")(tf.constant(["a dog"])).shape
        TensorShape([1, 384])
    """

    def __init__(self, directory: str) -> None:
        super().__init__()
        layout = read_layout(directory)
        where = os.path.join(directory, layout.transformer)
        vocabulary = _vocabulary(where)
        if len(vocabulary) > layout.config["vocab_size"]:
            raise InputError(
                f"text encoder {where}: expected at most {layout.config['vocab_size']} tokens "
                f"(vocab_size in config.json), received {len(vocabulary)}"
            )
        self._transformer = Transformer(layout.config, _weights(where), where)
        self.size = self._transformer.size
        self._pool = _POOLINGS[layout.pooling]
        self._prompt = layout.prompt
        self._tokenizer = WordPieceTokenizer(
            vocabulary,
            layout.max_length,
            layout.lowercase,
            layout.strip_accents,
            layout.split_cjk,
            layout.special,
        )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, captions: tf.Tensor) -> tf.Tensor:
        """Returns float32 `[B, T]` of unit length, zeros for a blank caption, for UTF-8 `[B]`."""
        vectors = tf.math.l2_normalize(self.embed(self.tokenize(captions)), axis=1, epsilon=0.0)
        blank = tf.strings.regex_full_match(captions, _BLANK)
        return tf.where(blank[:, None], 0.0, vectors)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "captions")])
    def serve(self, captions: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the same as a SavedModel's signature does."""
        return {"embedding": self(captions)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def tokenize(self, captions: tf.Tensor) -> tf.RaggedTensor:
        """Returns the tokens' ids, int32 `[B, length of each]`, for captions in UTF-8, `[B]`."""
        return self._tokenizer(tf.strings.join([self._prompt, captions]))

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.int32)])
    def embed(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """Returns the pooled hidden states, float32 `[B, T]`, of any length."""
        ids, lengths = tokens.to_tensor(), tf.cast(tokens.row_lengths(), tf.int32)
        present = tf.sequence_mask(lengths, tf.shape(ids)[1], tf.float32)[..., None]
        return self._pool(self._transformer(ids, lengths), present)


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
    lowercase = bool(tokenizer.get("do_lower_case", True))
    accents = tokenizer.get("strip_accents")
    prompts = _read_json(directory, "config_sentence_transformers.json")
    return Layout(
        transformer=transformer,
        config=config,
        pooling=pooling,
        max_length=int(min(most, longest(config))),
        lowercase=lowercase or bool(sentence.get("do_lower_case")),
        strip_accents=lowercase if accents is None else bool(accents),
        split_cjk=bool(tokenizer.get("tokenize_chinese_chars", True)),
        special=_special(tokenizer, FAMILIES[config["model_type"]].special),
        prompt=(prompts.get("prompts") or {}).get(prompts.get("default_prompt_name")) or "",
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
            f"text encoder {directory}: expected a WordPiece vocabulary in vocab.txt or in "
            "tokenizer.json, found neither; copy the tokenizer's files beside the weights"
        )
    return sorted(model["vocab"], key=model["vocab"].get)


def _weights(directory: str) -> dict[str, np.ndarray]:
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
