"""Dense layers after the pooling of a sentence-transformers directory."""

import dataclasses
from typing import Any

import tensorflow as tf

from xsample_tf.errors import InputError, suggest
from xsample_tf.text.model_files import read_json, read_weights

_ACTIVATIONS = {
    "GELU": lambda x: tf.nn.gelu(x, approximate=False),
    "Identity": tf.identity,
    "ReLU": tf.nn.relu,
    "Sigmoid": tf.sigmoid,
    "Tanh": tf.tanh,
}


@dataclasses.dataclass(frozen=True)
class DenseConfig:
    """What the `config.json` of a Dense module says.

    Attributes:
        directory: Where it is, with its weights.
        inputs: Length of a vector before it.
        outputs: Length of a vector after it.
        bias: Whether a bias is added.
        activation: Name of a class of `torch.nn`.
    """

    directory: str
    inputs: int
    outputs: int
    bias: bool
    activation: str


def read_config(directory: str) -> DenseConfig:
    """Returns what the configuration of a Dense module says.

    Raises:
        InputError: Its activation is unknown, or it does more than a dense layer.
    """
    config = read_json(directory, "config.json", required=True)
    pooled = "sentence_embedding"  # Also where older files do not say.
    places = {config.get(f"module_{end}_name") or pooled for end in ("input", "output")}
    if places != {pooled} or config.get("use_residual"):
        raise InputError(
            f"text encoder {directory}: expected a Dense layer of the pooled vector, without "
            f"residual, received {_short(config)} in config.json; convert this encoder to a "
            "SavedModel and pass that"
        )
    activation = str(config.get("activation_function") or "torch.nn.modules.activation.Tanh")
    name = activation.rsplit(".", 1)[-1]
    if name not in _ACTIVATIONS or not activation.startswith("torch.nn."):
        raise InputError(
            f"text encoder {directory}: expected a known activation_function in config.json, "
            f"received {activation!r}; {suggest(name, _ACTIVATIONS)}"
        )
    sizes = [config.get(key) for key in ("in_features", "out_features")]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise InputError(
            f"text encoder {directory}: expected in_features and out_features in config.json, "
            f"received {_short(config)}"
        )
    return DenseConfig(directory, *sizes, bool(config.get("bias", True)), name)


class Dense(tf.Module):
    """A dense layer with its weights.

    Args:
        config: As `read_config` gives it.

    Raises:
        InputError: The weights are missing, damaged or of another shape.

    Example:
        >>> Dense(read_config("models/LaBSE/2_Dense"))(tf.zeros([1, 768])).shape
        TensorShape([1, 768])
    """

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        tensors = read_weights(config.directory)
        shapes = {"linear.weight": (config.outputs, config.inputs)}
        shapes |= {"linear.bias": (config.outputs,)} if config.bias else {}
        for name, shape in shapes.items():
            found = tensors[name].shape if name in tensors else "no such tensor"
            if found != shape:
                raise InputError(
                    f"text encoder {config.directory}: expected {name} of shape {list(shape)} in "
                    f"model.safetensors, received {found}; is the copy complete?"
                )
        self._kernel = tf.Variable(tensors["linear.weight"].T, trainable=False, dtype=tf.float32)
        bias = tensors["linear.bias"] if config.bias else tf.zeros([config.outputs])
        self._bias = tf.Variable(bias, trainable=False, dtype=tf.float32)
        self._activation = _ACTIVATIONS[config.activation]

    def __call__(self, vectors: tf.Tensor) -> tf.Tensor:
        """Returns float32 `[B, outputs]` for float32 `[B, inputs]`."""
        return self._activation(tf.nn.bias_add(tf.matmul(vectors, self._kernel), self._bias))


def _short(config: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value!r}" for key, value in config.items())[:200] or "an empty file"
