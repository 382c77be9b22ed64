"""Encoders that are there in a moment."""

import keras
import numpy as np


def mean_color(batch) -> np.ndarray:
    """An encoder that knows the answer."""
    return np.mean(np.asarray(batch), axis=(1, 2)) - 0.5


def blind(batch) -> np.ndarray:
    return np.ones((len(batch), 3), np.float32)


def small_encoder() -> keras.Model:
    image = keras.Input([16, 16, 3])
    scaled = keras.layers.Normalization(mean=[0.4] * 3, variance=[0.1] * 3)(image)
    features = keras.layers.Conv2D(6, 3, activation="relu")(scaled)
    features = keras.layers.BatchNormalization()(features)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(features))
