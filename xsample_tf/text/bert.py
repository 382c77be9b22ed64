"""BERT's encoder in plain TensorFlow operations, with weights as Hugging Face names them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError, suggest

_ACTIVATIONS = {
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "relu": tf.nn.relu,
}


class Bert(tf.Module):
    """Token ids to hidden states (Devlin et al. 2018, "BERT", Section 3), for inference.

    Written out, and not keras-hub's backbone, because that one has the approximate gelu and a fixed
    epsilon whatever the configuration says. Always float32, whatever Keras's policy.

    Args:
        config: The model's `config.json`.
        weights: Its tensors by name, the prefix `bert.` or none.
        where: Names the model in error messages.

    Raises:
        InputError: Not a BERT, an unknown activation, or a tensor is missing or misshaped.

    Example:
        >>> bert = Bert(config, weights, "minilm")
        >>> bert(tf.constant([[101, 3899, 102]]), tf.constant([3])).shape
        TensorShape([1, 3, 384])
    """

    def __init__(
        self, config: Mapping[str, Any], weights: Mapping[str, np.ndarray], where: str
    ) -> None:
        super().__init__()
        check_family(config, where)
        self._weights, self._where = weights, where
        self.size = config["hidden_size"]
        self._heads = config["num_attention_heads"]
        self._epsilon = config.get("layer_norm_eps", 1e-12)
        self._activation = _ACTIVATIONS[config.get("hidden_act", "gelu")]
        wide = config["intermediate_size"]
        self._words = self._tensor(
            "embeddings.word_embeddings.weight", [config["vocab_size"], self.size]
        )
        positions = self._tensor(
            "embeddings.position_embeddings.weight", [config["max_position_embeddings"], self.size]
        )
        segments = self._tensor(
            "embeddings.token_type_embeddings.weight", [config["type_vocab_size"], self.size]
        )
        self._positions = positions + segments[0]  # A caption is one segment.
        self._norm = self._layer_norm("embeddings.LayerNorm")
        self._layers = [
            self._layer(f"encoder.layer.{i}", wide) for i in range(config["num_hidden_layers"])
        ]
        del self._weights

    def __call__(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Returns the last hidden states, float32 `[B, L, D]`.

        Args:
            ids: int32 `[B, L]`, padded at the end by any id of the vocabulary.
            lengths: int32 `[B]`, tokens of each row.
        """
        present = tf.sequence_mask(lengths, tf.shape(ids)[1], tf.float32)
        bias = (present[:, None, None, :] - 1) * 1e9  # Nothing attends to padding.
        x = tf.gather(self._words, ids) + self._positions[: tf.shape(ids)[1]]
        x = self._normalize(x, self._norm)
        for layer in self._layers:
            attended = _dense(self._attend(_dense(x, layer["qkv"]), bias), layer["attended"])
            x = self._normalize(x + attended, layer["attended_norm"])
            fed = _dense(self._activation(_dense(x, layer["wide"])), layer["narrow"])
            x = self._normalize(x + fed, layer["fed_norm"])
        return x

    def _attend(self, qkv: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """Returns the attention `[B, L, D]` of queries, keys and values `[B, L, 3D]`."""
        batch, length = tf.shape(qkv)[0], tf.shape(qkv)[1]
        depth = self.size // self._heads
        qkv = tf.reshape(qkv, [batch, length, 3, self._heads, depth])
        query, key, value = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]))
        logits = tf.matmul(query, key, transpose_b=True) * depth**-0.5 + bias
        mixed = tf.matmul(tf.nn.softmax(logits), value)
        return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch, length, self.size])

    def _normalize(self, x: tf.Tensor, norm: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        return (x - mean) * tf.math.rsqrt(variance + self._epsilon) * norm[0] + norm[1]

    def _layer(self, prefix: str, wide: int) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        size = self.size
        qkv = [self._kernel(f"{prefix}.attention.self.{part}", size, size) for part in _QKV]
        return {
            "qkv": (tf.concat([k for k, _ in qkv], 1), tf.concat([b for _, b in qkv], 0)),
            "attended": self._kernel(f"{prefix}.attention.output.dense", size, size),
            "attended_norm": self._layer_norm(f"{prefix}.attention.output.LayerNorm"),
            "wide": self._kernel(f"{prefix}.intermediate.dense", size, wide),
            "narrow": self._kernel(f"{prefix}.output.dense", wide, size),
            "fed_norm": self._layer_norm(f"{prefix}.output.LayerNorm"),
        }

    def _kernel(self, name: str, inputs: int, outputs: int) -> tuple[tf.Tensor, tf.Tensor]:
        kernel = self._tensor(f"{name}.weight", [outputs, inputs])
        return tf.transpose(kernel), self._tensor(f"{name}.bias", [outputs])

    def _layer_norm(self, name: str) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns scale and offset, which checkpoints ported from TensorFlow name otherwise."""
        ported = any(key.endswith(f"{name}.gamma") for key in self._weights)
        names = ("gamma", "beta") if ported else ("weight", "bias")
        return tuple(self._tensor(f"{name}.{part}", [self.size]) for part in names)

    def _tensor(self, name: str, shape: list[int]) -> tf.Tensor:
        tensor = self._weights.get(name, self._weights.get(f"bert.{name}"))
        found = "no such tensor" if tensor is None else f"shape {list(tensor.shape)}"
        if tensor is None or list(tensor.shape) != shape:
            raise InputError(
                f"text encoder {self._where}: expected {name} of shape {shape} in "
                f"model.safetensors, received {found}; is the copy complete?"
            )
        return tf.constant(np.asarray(tensor, np.float32))


_QKV = ("query", "key", "value")


def check_family(config: Mapping[str, Any], where: str) -> None:
    """Raises InputError unless `config.json` is that of a BERT that `Bert` computes exactly.

    Example:
        >>> check_family({"model_type": "mpnet"}, "all-mpnet-base-v2")
        InputError: text encoder all-mpnet-base-v2: expected a model of the BERT family ...
    """
    positions = config.get("position_embedding_type") or "absolute"
    if config.get("model_type") != "bert" or positions != "absolute":
        raise InputError(
            f"text encoder {where}: expected a model of the BERT family (model_type 'bert', "
            f"absolute positions), received {config.get('model_type')!r}, {positions!r} in "
            "config.json; choose another, or convert this one to a SavedModel and pass that"
        )
    missing = [key for key in _CONFIG if not isinstance(config.get(key), int)]
    if missing:
        raise InputError(
            f"text encoder {where}: expected {missing[0]} in config.json, received none"
        )
    if config["hidden_size"] % config["num_attention_heads"]:
        raise InputError(
            f"text encoder {where}: expected hidden_size divisible by num_attention_heads in "
            f"config.json, received {config['hidden_size']} and {config['num_attention_heads']}"
        )
    activation = config.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise InputError(
            f"text encoder {where}: expected a known hidden_act in config.json, received "
            f"{activation!r}; {suggest(str(activation), _ACTIVATIONS)}"
        )


_CONFIG = (
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "type_vocab_size",
    "vocab_size",
)


def _dense(x: tf.Tensor, weights: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """Returns x·kernel + bias over the last axis, as one matrix product of all tokens."""
    kernel, bias = weights
    rows = tf.matmul(tf.reshape(x, [-1, kernel.shape[0]]), kernel) + bias
    return tf.reshape(rows, [tf.shape(x)[0], tf.shape(x)[1], kernel.shape[1]])
