"""The encoders of `FAMILIES` in TensorFlow, with weights as Hugging Face names them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError, suggest
from xsample_tf.text.families import FAMILIES, Family, first_position, in_berts_words

_ACTIVATIONS = {
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "relu": tf.nn.relu,
}
_BUCKETS, _FARTHEST = 32, 128  # Of MPNet's distances.
_SIZES = (
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "vocab_size",
)


class Transformer(tf.Module):
    """Token ids to hidden states, for inference, always in float32.

    Written out, and not keras-hub's backbones, because those have the approximate gelu and a fixed
    epsilon whatever the configuration says, and no MPNet.

    Args:
        config: The model's `config.json`.
        weights: Its tensors by name, the family's name before it or not.
        where: Names the model in error messages.

    Attributes:
        size: D, the length of a hidden state.
        max_length: Most tokens of a caption.

    Raises:
        InputError: Another family, an unknown activation, or a tensor is missing or misshaped.

    Example:
        >>> bert = Transformer(config, weights, "minilm")
        >>> bert(tf.constant([[101, 3899, 102]]), tf.constant([3])).shape
        TensorShape([1, 3, 384])
    """

    def __init__(
        self, config: Mapping[str, Any], weights: Mapping[str, np.ndarray], where: str
    ) -> None:
        super().__init__()
        check_config(config, where)
        family = FAMILIES[config["model_type"]]
        config = in_berts_words(config)
        tensors = _Tensors(weights, family.prefix, where)
        self.size, self.max_length = config["hidden_size"], longest(config)
        self._heads = config["num_attention_heads"]
        self._epsilon = config.get("layer_norm_eps", 1e-12)
        self._activation = _ACTIVATIONS[config.get("hidden_act", "gelu")]
        size, wide = self.size, config["intermediate_size"]
        words = tensors("embeddings.word_embeddings.weight", config["vocab_size"], size)
        table = tensors(
            "embeddings.position_embeddings.weight", config["max_position_embeddings"], size
        )
        positions = table[first_position(config) :]
        if family.segments:  # A caption is one segment.
            segments = "embeddings.token_type_embeddings.weight"
            positions = positions + tensors(segments, config["type_vocab_size"], size)[0]
        self._words, self._positions = _variable(words), _variable(positions)
        self._norm = tensors.norm("embeddings.LayerNorm", size)
        self._distances = None
        if family.distances:
            bias = tensors("encoder.relative_attention_bias.weight", _BUCKETS, self._heads)
            self._distances = _variable(bias[distance_buckets(self.max_length)])
        self._layers = [
            _layer(tensors, f"{family.layer}.{i}", family, size, wide)
            for i in range(config["num_hidden_layers"])
        ]

    def __call__(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Returns the last hidden states, float32 `[B, L, D]`.

        Args:
            ids: int32 `[B, L]`, padded at the end by any id of the vocabulary.
            lengths: int32 `[B]`, tokens of each row.
        """
        length = tf.shape(ids)[1]
        present = tf.sequence_mask(lengths, length, tf.float32)
        bias = (present[:, None, None, :] - 1) * 1e9  # Nothing attends to padding.
        if self._distances is not None:
            places = tf.range(length)
            distances = places[None, :] - places[:, None] + self.max_length - 1
            bias += tf.transpose(tf.gather(self._distances, distances), [2, 0, 1])
        x = tf.gather(self._words, ids) + self._positions[:length]
        x = self._normalize(tf.reshape(x, [-1, self.size]), self._norm)  # As rows: one per token.
        for layer in self._layers:
            attended = _dense(self._attend(_dense(x, layer["qkv"]), bias), layer["attended"])
            x = self._normalize(x + attended, layer["attended_norm"])
            fed = _dense(self._activation(_dense(x, layer["wide"])), layer["narrow"])
            x = self._normalize(x + fed, layer["fed_norm"])
        return tf.reshape(x, [-1, length, self.size])

    def _attend(self, qkv: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """Returns the attention `[B L, D]` of queries, keys and values `[B L, 3D]`."""
        length = tf.shape(bias)[-1]
        depth = self.size // self._heads
        qkv = tf.reshape(qkv, [-1, length, 3, self._heads, depth])
        query, key, value = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]))
        logits = tf.matmul(query, key, transpose_b=True) * depth**-0.5 + bias
        mixed = tf.matmul(tf.nn.softmax(logits), value)
        return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, self.size])

    def _normalize(self, x: tf.Tensor, norm: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        return (x - mean) * tf.math.rsqrt(variance + self._epsilon) * norm[0] + norm[1]


class _Tensors:
    """The checked tensors of a checkpoint."""

    def __init__(self, weights: Mapping[str, np.ndarray], prefix: str, where: str) -> None:
        self._weights, self._prefix, self._where = weights, prefix, where

    def __call__(self, name: str, *shape: int) -> np.ndarray:
        """Returns a tensor, float32 of that shape."""
        tensor = self._weights.get(name, self._weights.get(f"{self._prefix}.{name}"))
        found = "no such tensor" if tensor is None else f"shape {list(tensor.shape)}"
        if tensor is None or tensor.shape != shape:
            raise InputError(
                f"text encoder {self._where}: expected {name} of shape {list(shape)} in "
                f"model.safetensors, received {found}; is the copy complete?"
            )
        return np.asarray(tensor, np.float32)

    def dense(self, names: list[str], inputs: int, outputs: int) -> tuple[tf.Variable, tf.Variable]:
        """Returns kernel `[inputs, outputs of all]` and bias of dense layers of the same input."""
        kernels = [self(f"{name}.weight", outputs, inputs).T for name in names]
        biases = [self(f"{name}.bias", outputs) for name in names]
        return _variable(np.concatenate(kernels, 1)), _variable(np.concatenate(biases))

    def norm(self, name: str, size: int) -> tuple[tf.Variable, tf.Variable]:
        """Returns scale and offset, which checkpoints ported from TensorFlow name otherwise."""
        ported = any(key.endswith(f"{name}.gamma") for key in self._weights)
        names = ("gamma", "beta") if ported else ("weight", "bias")
        scale, offset = (_variable(self(f"{name}.{part}", size)) for part in names)
        return scale, offset


def _variable(value: np.ndarray) -> tf.Variable:
    return tf.Variable(value, trainable=False)  # A SavedModel keeps variables beside its graph.


def _layer(
    tensors: _Tensors, prefix: str, family: Family, size: int, wide: int
) -> dict[str, tuple[tf.Variable, tf.Variable]]:
    *parts, attended, attended_norm = (f"{prefix}.{name}" for name in family.attention)
    widening, narrowing, fed_norm = (f"{prefix}.{name}" for name in family.feed)
    return {
        "qkv": tensors.dense(parts, size, size),
        "attended": tensors.dense([attended], size, size),
        "attended_norm": tensors.norm(attended_norm, size),
        "wide": tensors.dense([widening], size, wide),
        "narrow": tensors.dense([narrowing], wide, size),
        "fed_norm": tensors.norm(fed_norm, size),
    }


def _dense(x: tf.Tensor, weights: tuple[tf.Variable, tf.Variable]) -> tf.Tensor:
    kernel, bias = weights
    return tf.nn.bias_add(tf.matmul(x, kernel), bias)


def distance_buckets(length: int) -> np.ndarray:
    """Returns the bucket of each distance from 1 - length to length - 1 of a key from its query.

    Half of the 32 buckets are for keys behind the query. Of each half, one half is for the small
    distances one by one, the rest by the logarithm up to 128 (Raffel et al. 2019, "T5").

    Returns:
        Whole numbers `[2 length - 1]`.

    Example:
        >>> distance_buckets(3)
        array([ 2,  1,  0, 17, 18])
    """
    distances = np.arange(1 - length, length)
    half, near = _BUCKETS // 2, _BUCKETS // 4
    away = np.abs(distances)
    # In float32 as in the models' training: it decides on which side 64 falls.
    octaves = np.log(np.maximum(away, 1).astype(np.float32) / near) / math.log(_FARTHEST / near)
    far = np.minimum(near + (octaves * (half - near)).astype(int), half - 1)
    return np.where(distances > 0, half, 0) + np.where(away < near, away, far)


def longest(config: Mapping[str, Any]) -> int:
    """Returns the most tokens for which a model has positions."""
    return config["max_position_embeddings"] - first_position(config)


def check_config(config: Mapping[str, Any], where: str) -> None:
    """Raises InputError unless `config.json` is of a model that `Transformer` computes exactly.

    Example:
        >>> check_config({"model_type": "t5"}, "sentence-t5-base")
        InputError: text encoder sentence-t5-base: expected a model of a family among bert, ...
    """
    positions = config.get("position_embedding_type") or "absolute"
    if config.get("model_type") not in FAMILIES or positions != "absolute":
        raise InputError(
            f"text encoder {where}: expected a model of a family among {', '.join(FAMILIES)} "
            f"(model_type, with absolute positions), received {config.get('model_type')!r}, "
            f"{positions!r} in config.json; choose another, or convert this one to a SavedModel "
            "and pass that"
        )
    family, settings = FAMILIES[config["model_type"]], in_berts_words(config)
    sizes = (
        *_SIZES,
        *(("type_vocab_size",) if family.segments else ()),
        *(("pad_token_id",) if family.first_position is None else ()),
    )
    missing = [key for key in sizes if not isinstance(settings.get(key), int)]
    if missing:
        key = family.keys.get(missing[0], missing[0])
        raise InputError(f"text encoder {where}: expected {key} in config.json, received none")
    if settings["hidden_size"] % settings["num_attention_heads"]:
        raise InputError(
            f"text encoder {where}: expected hidden_size divisible by num_attention_heads in "
            f"config.json, received {settings['hidden_size']} and "
            f"{settings['num_attention_heads']}"
        )
    activation = settings.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise InputError(
            f"text encoder {where}: expected a known hidden_act in config.json, received "
            f"{activation!r}; {suggest(str(activation), _ACTIVATIONS)}"
        )
