"""A tiny random encoder in the sentence-transformers layout, and BERT's float64 reference."""

import functools
import json
import math
import unicodedata

import numpy as np
import pytest
import safetensors.numpy
from helpers import tiny_encoder


@pytest.fixture
def make_directory(tmp_path):
    """Returns a function that writes a tiny encoder's directory, by default a BERT's."""
    return functools.partial(tiny_encoder.write, tmp_path / "tiny-bert")


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
