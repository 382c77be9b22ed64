import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.plain_encoders import small_encoder

from xsample_tf import evaluation
from xsample_tf.errors import InputError


def test_untrained_is_the_same_architecture_with_fresh_weights_of_the_seed():
    encoder = small_encoder()
    state = random.getstate()
    first, again, other = (evaluation.untrained(encoder, seed) for seed in (0, 0, 1))
    assert random.getstate() == state
    kernel = [m.layers[2].get_weights()[0] for m in (encoder, first, again, other)]
    np.testing.assert_array_equal(kernel[1], kernel[2])
    assert np.abs(kernel[1] - kernel[0]).max() > 0.01 < np.abs(kernel[1] - kernel[3]).max()
    assert first.count_params() == encoder.count_params()


def test_untrained_keeps_an_adapted_normalisation():
    normalization = keras.layers.Normalization()
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (50, 4, 4, 3)))
    image = keras.Input([4, 4, 3])
    pooled = keras.layers.GlobalAveragePooling2D()(normalization(image))
    encoder = keras.Model(image, pooled)
    batch = tf.random.stateless_uniform([2, 4, 4, 3], [1, 2])
    np.testing.assert_allclose(evaluation.untrained(encoder)(batch), encoder(batch), rtol=1e-6)


def test_a_model_that_cannot_be_rebuilt_has_no_baseline():
    class Opaque(keras.Model):
        def __init__(self, something):
            super().__init__()
            self.something = something

        def call(self, x):
            return keras.ops.mean(x, (1, 2))

    with pytest.raises(InputError, match="rebuilt from its configuration.*Opaque") as caught:
        evaluation.untrained(Opaque(object()))
    assert "\n" not in str(caught.value)
