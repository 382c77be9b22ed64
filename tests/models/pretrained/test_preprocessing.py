"""What a network wants done to its pixels is measured, and done inside of the encoder."""

import importlib
import re

import keras
import keras_hub
import numpy as np
import pytest

from xsample_tf.errors import InputError
from xsample_tf.models.pretrained.preprocessing import Preprocessing, measured, of_range

IMAGES = np.random.default_rng(0).random((2, 4, 4, 3), np.float32)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def inside(preprocessing):
    images = keras.Input((4, 4, 3))
    return np.array(keras.Model(images, preprocessing(images))(IMAGES))


# One of each of Keras's four conventions: BGR less a mean, [-1, 1], mean and deviation, and none.
@pytest.mark.parametrize(
    "module, words",
    [
        ("resnet", "blue first"),
        ("mobilenet_v2", r"scales pixels in \[0, 1\] to \[-1, 1\]$"),
        ("densenet", r"\(x - \[0.485 0.456 0.406\]\) / \[0.229 0.224 0.225\]$"),
        ("efficientnet", r"scales pixels in \[0, 1\] to \[0, 255\]$"),
    ],
)
def test_pixels_are_what_kerass_own_function_makes_of_them(module, words):
    function = importlib.import_module(f"keras.applications.{module}").preprocess_input
    found = measured(function, "source")
    np.testing.assert_allclose(inside(found), function(255 * IMAGES), rtol=1e-5, atol=2e-4)
    assert re.search(words, str(found))


def test_pixels_are_what_a_converter_of_keras_hub_makes_of_them():
    converter = keras_hub.layers.ImageConverter(
        image_size=(16, 16),
        scale=[1 / 255 / d for d in DEVIATION],
        offset=[-m / d for m, d in zip(MEAN, DEVIATION, strict=True)],
    )
    found = measured(converter, "source")
    np.testing.assert_allclose(found.mean, MEAN, atol=1e-6)
    np.testing.assert_allclose(found.deviation, DEVIATION, atol=1e-6)
    np.testing.assert_allclose(inside(found), (IMAGES - MEAN) / DEVIATION, atol=1e-5)


def test_a_range_is_a_scale():
    np.testing.assert_allclose(inside(of_range(-1, 3)), 4 * IMAGES - 1, atol=1e-6)
    assert of_range(0, 1) == Preprocessing()


@pytest.mark.parametrize(
    "function",
    [lambda x: x**2, lambda x: x.mean(axis=-1, keepdims=True) + x, lambda x: 0 * x],
    ids=["bends", "mixes", "loses"],
)
def test_what_is_no_scale_is_refused(function):
    with pytest.raises(InputError, match="source: expected a preprocessing that scales"):
        measured(function, "source")
