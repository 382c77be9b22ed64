"""Tiny random encoders in the sentence-transformers layout: BERT and MPNet."""

import json
import pathlib

import numpy as np
import safetensors.numpy

WORDS = "a dog dogs ##s run ##ning on grass . , Dog CAF caf ##e ##É 狗".split()
VOCABULARIES = {
    "bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS],
    "mpnet": ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", *WORDS, "<mask>"],
}
CONFIG = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
}
CONFIGS = {
    "bert": CONFIG | {"model_type": "bert", "max_position_embeddings": 16, "type_vocab_size": 2},
    # Long enough for every bucket of the distances.
    "mpnet": CONFIG | {"model_type": "mpnet", "max_position_embeddings": 162},
}
ATTENTION = {
    "bert": ("self.query", "self.key", "self.value", "output.dense", "output.LayerNorm"),
    "mpnet": ("attn.q", "attn.k", "attn.v", "attn.o", "LayerNorm"),
}
POOLING_FLAGS = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens"}


def write(
    directory: pathlib.Path,
    pooling="mean",
    normalize=True,
    lowercase=True,
    max_length=12,
    version=2,
    prefix="",
    ported=False,
    config=None,
    family="bert",
) -> pathlib.Path:
    """Writes a directory as sentence-transformers of that version did, and returns it."""
    vocabulary = VOCABULARIES[family]
    config = CONFIGS[family] | {"vocab_size": len(vocabulary)} | (config or {})
    _write(directory / "config.json", config)
    kinds = ["Transformer", "Pooling", "Normalize"][: 3 if normalize else 2]
    package = {2: "sentence_transformers.models", 6: "sentence_transformers.base.modules.some"}
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": i, "name": str(i), "path": paths[i], "type": f"{package[version]}.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    _write(directory / "modules.json", modules)
    tokenizer = {"do_lower_case": lowercase}
    if version == 2:
        (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        _write(directory / "sentence_bert_config.json", {"max_seq_length": max_length})
        flags = {f"pooling_mode_{flag}": mode == pooling for mode, flag in POOLING_FLAGS.items()}
        _write(directory / "1_Pooling/config.json", {"word_embedding_dimension": 24} | flags)
    else:
        _write(directory / "tokenizer.json", tokenizer_json(family, vocabulary, lowercase))
        tokenizer["model_max_length"] = max_length
        _write(directory / "1_Pooling/config.json", {"pooling_mode": pooling})
    _write(directory / "tokenizer_config.json", tokenizer)
    weights = {prefix + name: value for name, value in random_weights(family, config).items()}
    if ported:
        parts = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for part, old in parts.items():
            weights = {name.replace(part, old): value for name, value in weights.items()}
    metadata = {"format": "pt"}  # PyTorch's readers ask for it.
    safetensors.numpy.save_file(weights, directory / "model.safetensors", metadata)
    return directory


def tokenizer_json(family: str, vocabulary: list[str], lowercase: bool) -> dict:
    """Returns the content of the file as transformers writes it."""
    ids = {token: i for i, token in enumerate(vocabulary)}
    first, last = ("[CLS]", "[SEP]") if family == "bert" else ("<s>", "</s>")
    special = [token for token in vocabulary if token[0] + token[-1] in ("[]", "<>")]
    return {
        "version": "1.0",
        "added_tokens": [{"id": ids[t], "content": t, "special": True} for t in special],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": first, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": last, "type_id": 0}},
            ],
        },
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": dict(sorted(ids.items())),
        },
    }


def _write(path: pathlib.Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def random_weights(family: str, config: dict) -> dict[str, np.ndarray]:
    """Returns the tensors of a model by name, the same in every process."""
    rng = np.random.default_rng(0)
    size, wide = config["hidden_size"], config["intermediate_size"]
    *projections, attention_norm = (f"attention.{name}" for name in ATTENTION[family])
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], size),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], size),
    }
    if family == "bert":
        shapes["embeddings.token_type_embeddings.weight"] = (config["type_vocab_size"], size)
    else:
        shapes["encoder.relative_attention_bias.weight"] = (32, config["num_attention_heads"])
    shapes |= {f"embeddings.LayerNorm.{part}": (size,) for part in ("weight", "bias")}
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        kernels = {name: (size, size) for name in projections}
        kernels |= {"intermediate.dense": (wide, size), "output.dense": (size, wide)}
        for name, shape in kernels.items():
            shapes[f"{layer}.{name}.weight"] = shape
            shapes[f"{layer}.{name}.bias"] = shape[:1]
        for name in (attention_norm, "output.LayerNorm"):
            shapes[f"{layer}.{name}.weight"] = shapes[f"{layer}.{name}.bias"] = (size,)
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
