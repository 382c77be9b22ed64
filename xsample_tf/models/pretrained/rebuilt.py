"""The same encoder in the dtype policy in force."""

from typing import Any

import keras

from xsample_tf.errors import InputError

# The name of an encoder's last layer, which gives float32 in every policy.
EMBEDDING = "embedding"
# Layers that scale pixels stay in float32 too, as bfloat16 has 8 bits only.
_OF_PIXELS = ("Rescaling", "Normalization", "InputLayer")


def in_policy(encoder: keras.Model) -> keras.Model:
    """Returns an encoder of float32 in Keras's global policy: itself where that is float32.

    Layers that scale pixels, and the one that gives the embedding, stay in float32.

    Raises:
        InputError: It cannot be rebuilt from its configuration.
    """
    policy = keras.config.dtype_policy().name
    if policy == "float32":
        return encoder
    try:
        config = _with_policy(keras.saving.serialize_keras_object(encoder), policy)
        copy = keras.saving.deserialize_keras_object(config)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise InputError(
            f"encoder: expected one that can be rebuilt to compute in {policy}, received "
            f"{type(encoder).__name__} ({str(error).splitlines()[0][:120]}); implement get_config, "
            "or use --precision=float32"
        ) from error
    copy_weights(copy, encoder)
    return copy


def copy_weights(target: keras.Model, source: keras.Model) -> None:
    """Gives a model the weights of another one of the same architecture."""
    target.set_weights(source.get_weights())
    for layer in target._flatten_layers():
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.finalize_state()  # What it computes with is made of its weights.


def _with_policy(config: Any, policy: str) -> Any:
    """A Keras configuration with another policy in place of float32."""
    if isinstance(config, list | tuple):
        return type(config)(_with_policy(value, policy) for value in config)
    if not isinstance(config, dict):
        return config
    kind, own = config.get("class_name"), config.get("config")
    if kind in _OF_PIXELS or (isinstance(own, dict) and own.get("name") == EMBEDDING):
        return config
    if kind == "DTypePolicy" and own["name"] == "float32":
        return {**config, "config": {**own, "name": policy}}
    return {key: _with_policy(value, policy) for key, value in config.items()}
