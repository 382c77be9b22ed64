"""A tiny random BERT in the sentence-transformers layout, and its float64 reference."""

import json
import math
import pathlib
import unicodedata

import numpy as np
import pytest
import safetensors.numpy

WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] a dog dogs ##s run ##ning on grass . , Dog CAF caf ##e ##É 狗"
)
VOCABULARY = WORDS.split()
CONFIG = {
    "model_type": "bert",
    "vocab_size": len(VOCABULARY),
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
}


def _write(path: pathlib.Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _random_weights(config: dict) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    size, wide = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], size),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], size),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], size),
        "embeddings.LayerNorm.weight": (size,),
        "embeddings.LayerNorm.bias": (size,),
    }
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        kernels = {
            **{f"attention.self.{part}": (size, size) for part in ("query", "key", "value")},
            "attention.output.dense": (size, size),
            "intermediate.dense": (wide, size),
            "output.dense": (size, wide),
        }
        for name, shape in kernels.items():
            shapes[f"{layer}.{name}.weight"] = shape
            shapes[f"{layer}.{name}.bias"] = shape[:1]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{layer}.{name}.weight"] = shapes[f"{layer}.{name}.bias"] = (size,)
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def make_directory(tmp_path):
    """Returns a function that writes a sentence-transformers directory, by default version 2's."""

    def make(
        pooling="mean",
        normalize=True,
        lowercase=True,
        max_length=12,
        version=2,
        prefix="",
        ported=False,
        config=None,
    ) -> pathlib.Path:
        directory = tmp_path / "tiny-bert"
        config = CONFIG | (config or {})
        _write(directory / "config.json", config)
        kinds = ["Transformer", "Pooling", "Normalize"][: 3 if normalize else 2]
        package = {2: "sentence_transformers.models", 6: "sentence_transformers.base.modules.some"}
        paths = ["", "1_Pooling", "2_Normalize"]
        modules = [
            {"idx": i, "path": paths[i], "type": f"{package[version]}.{kind}"}
            for i, kind in enumerate(kinds)
        ]
        _write(directory / "modules.json", modules)
        tokenizer = {"do_lower_case": lowercase}
        if version == 2:
            (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
            _write(directory / "sentence_bert_config.json", {"max_seq_length": max_length})
            names = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens"}
            flags = {f"pooling_mode_{name}": mode == pooling for mode, name in names.items()}
            _write(directory / "1_Pooling/config.json", {"word_embedding_dimension": 24} | flags)
        else:
            ids = {token: i for i, token in enumerate(VOCABULARY)}
            _write(
                directory / "tokenizer.json",
                {"model": {"type": "WordPiece", "vocab": dict(sorted(ids.items()))}},
            )
            tokenizer["model_max_length"] = max_length
            _write(directory / "1_Pooling/config.json", {"pooling_mode": pooling})
        _write(directory / "tokenizer_config.json", tokenizer)
        weights = {prefix + name: value for name, value in _random_weights(config).items()}
        if ported:
            parts = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
            for part, old in parts.items():
                weights = {name.replace(part, old): value for name, value in weights.items()}
        safetensors.numpy.save_file(weights, directory / "model.safetensors")
        return directory

    return make


def _tokens(caption, vocabulary, lowercase, max_length):
    """Greedy longest match first, on plain text of words, punctuation and accents."""
    if lowercase:
        caption = unicodedata.normalize("NFD", caption.lower())
        caption = "".join(c for c in caption if unicodedata.category(c) != "Mn")
    spaced = "".join(f" {c} " if c in ".,!'-狗" else c for c in caption)
    ids = []
    for word in spaced.split():
        pieces, start = [], 0
        while start < len(word):
            marked = [
                ("##" if start else "") + word[start:end] for end in range(len(word), start, -1)
            ]
            piece = next((p for p in marked if p in vocabulary), None)
            if piece is None:
                pieces = ["[UNK]"]
                break
            pieces.append(piece)
            start += len(piece.removeprefix("##"))
        ids += [vocabulary[p] for p in pieces]
    return [vocabulary["[CLS]"], *ids[: max_length - 2], vocabulary["[SEP]"]]


def _hidden(ids, config, weights):
    """BERT's last hidden states of one caption, float64 [L, D]."""

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T.astype(np.float64) + weights[f"{name}.bias"]

    def norm(x, name):
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + eps)
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    eps, heads = config["layer_norm_eps"], config["num_attention_heads"]
    depth = config["hidden_size"] // heads
    x = weights["embeddings.word_embeddings.weight"][ids].astype(np.float64)
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        layer, mixed = f"encoder.layer.{i}", np.empty_like(x)
        q, k, v = (dense(x, f"{layer}.attention.self.{p}") for p in ("query", "key", "value"))
        for h in range(heads):
            part = slice(h * depth, (h + 1) * depth)
            logits = q[:, part] @ k[:, part].T / math.sqrt(depth)
            shares = np.exp(logits - logits.max(1, keepdims=True))
            mixed[:, part] = shares / shares.sum(1, keepdims=True) @ v[:, part]
        x = norm(
            x + dense(mixed, f"{layer}.attention.output.dense"),
            f"{layer}.attention.output.LayerNorm",
        )
        wide = dense(x, f"{layer}.intermediate.dense")
        wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = norm(x + dense(wide, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    return x


@pytest.fixture
def reference():
    """Returns what computes the unit vectors of captions in NumPy, float64 [K, T]."""

    def vectors(directory, captions, pooling="mean", lowercase=True, max_length=12):
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        tokens = (directory / "vocab.txt").read_text(encoding="utf-8").split("\n")
        vocabulary = {token: i for i, token in enumerate(tokens)}
        weights = safetensors.numpy.load_file(directory / "model.safetensors")
        pool = {"mean": lambda x: x.mean(0), "cls": lambda x: x[0], "max": lambda x: x.max(0)}
        rows = []
        for caption in captions:
            ids = _tokens(caption, vocabulary, lowercase, max_length)
            rows.append(pool[pooling](_hidden(ids, config, weights)))
        return np.stack([row / np.linalg.norm(row) for row in rows])

    return vectors
