"""The untrained encoder that every measure is compared with."""

import random

import keras

from xsample_tf.errors import InputError


def untrained(encoder: keras.Model, seed: int = 0) -> keras.Model:
    """Returns the encoder's architecture with fresh weights: the baseline of every measure.

    Normalisation constants that were adapted to data are kept. Other weights are drawn anew, the
    same for the same seed, whatever has been drawn before.

    Args:
        encoder: A Keras model that can be rebuilt from its configuration.
        seed: Of the weights.

    Raises:
        InputError: The model cannot be rebuilt.

    Example:
        >>> evaluate(encoder, "data/flickr8k", baseline=untrained(encoder))
    """
    state = random.getstate()
    random.seed(seed)  # Keras draws the seeds of unseeded initializers from here.
    try:
        fresh = keras.models.clone_model(encoder)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise InputError(
            "encoder: expected a Keras model that can be rebuilt from its configuration, received "
            f"{type(encoder).__name__} ({str(error).splitlines()[0]}); implement get_config"
        ) from error
    finally:
        random.setstate(state)
    for ours, theirs in zip(_layers(fresh), _layers(encoder), strict=True):
        if isinstance(theirs, keras.layers.Normalization) and theirs.weights:
            ours.set_weights(theirs.get_weights())
            ours.finalize_state()
    return fresh


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model._flatten_layers() if layer is not model]
