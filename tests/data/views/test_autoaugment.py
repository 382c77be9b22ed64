"""Each operation gives what Pillow gives; the policy is the paper's."""

import collections
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from xsample_tf.data.views import autoaugment


def _picture(seed: int = 0, size: int = 33, low: int = 0, high: int = 256) -> np.ndarray:
    """Smooth colours with some noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(low, high, (5, 5, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((size, size + 4), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(smooth + rng.integers(-6, 7, smooth.shape), low, high - 1).astype(np.uint8)


def _rotate(image: Image.Image, level: float) -> Image.Image:
    return image.rotate(30 * level)


def _shear_x(image: Image.Image, level: float) -> Image.Image:
    matrix = (1, 0.3 * level, 0, 0, 1, 0)
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


PILLOW = {
    "posterize": lambda image, level: ImageOps.posterize(image, 8 - round(4 * abs(level))),
    "solarize": lambda image, level: ImageOps.solarize(image, math.ceil(255 - 255 * abs(level))),
    "invert": lambda image, level: ImageOps.invert(image),
    "auto_contrast": lambda image, level: ImageOps.autocontrast(image),
    "equalize": lambda image, level: ImageOps.equalize(image),
    "contrast": lambda image, level: ImageEnhance.Contrast(image).enhance(1 + 0.9 * level),
    "color": lambda image, level: ImageEnhance.Color(image).enhance(1 + 0.9 * level),
    "sharpness": lambda image, level: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * level),
    "shear_x": _shear_x,
    "rotate": _rotate,
}
EXACT = {"posterize", "solarize", "invert", "auto_contrast", "equalize"}
MOVES = {"shear_x", "rotate"}


def test_every_operation_of_the_policy_has_an_oracle():
    used = {name for sub_policy in autoaugment.POLICY for name, _, _ in sub_policy}
    assert used == set(autoaugment.OPERATIONS) == set(PILLOW)


@pytest.mark.parametrize("name", PILLOW)
@pytest.mark.parametrize("magnitude", range(10))
def test_operation_equals_pillow(name, magnitude):
    level = magnitude / 9 * (-1) ** magnitude
    for pixels in (_picture(magnitude), _picture(magnitude, low=90, high=140)):
        expected = np.asarray(PILLOW[name](Image.fromarray(pixels), level)).astype(int)
        operation = autoaugment.OPERATIONS[name]
        received = operation(tf.constant(pixels), tf.constant(level, tf.float32))
        assert received.dtype == tf.uint8
        difference = np.abs(received.numpy().astype(int) - expected)
        if name in EXACT:
            assert difference.max() == 0
        elif name in MOVES:
            # A pixel whose source lies on the border of two may go either way.
            for nearly in (level - 1e-4, level + 1e-4):
                other = np.asarray(PILLOW[name](Image.fromarray(pixels), nearly)).astype(int)
                difference = np.minimum(difference, np.abs(received.numpy().astype(int) - other))
            assert np.mean(difference > 0) < 0.005
        else:
            assert difference.max() <= 1


@pytest.mark.parametrize("name", PILLOW)
@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_plain_image_gives_what_pillow_gives(name, value):
    pixels = np.full((8, 8, 3), value, np.uint8)
    expected = np.asarray(PILLOW[name](Image.fromarray(pixels), 1 / 3)).astype(int)
    received = autoaugment.OPERATIONS[name](tf.constant(pixels), tf.constant(1 / 3))
    assert np.abs(received.numpy().astype(int) - expected).max() <= 1


@settings(max_examples=50, deadline=None)
@given(data=st.binary(min_size=4 * 5 * 3, max_size=4 * 5 * 3))
def test_histogram_operations_equal_pillow_on_any_pixels(data):
    pixels = np.frombuffer(data, np.uint8).reshape(4, 5, 3)
    for name in ("auto_contrast", "equalize"):
        expected = np.asarray(PILLOW[name](Image.fromarray(pixels), 0))
        received = autoaugment.OPERATIONS[name](tf.constant(pixels), tf.constant(0.0))
        np.testing.assert_array_equal(received, expected, err_msg=name)


def test_policy_draws_sub_policies_and_operations_as_often_as_it_says(monkeypatch):
    """Every operation marks its own bit, so that the result names what was applied."""
    bits = {name: 1 << bit for bit, name in enumerate(autoaugment.OPERATIONS)}
    marks = {
        name: lambda image, level, bit=bit: tf.bitwise.bitwise_or(image, bit)
        for name, bit in bits.items()
    }
    monkeypatch.setattr(autoaugment, "OPERATIONS", marks)
    count = 6000
    draws = tf.random.stateless_uniform([count, autoaugment.DRAWS], [0, 1])
    start = tf.zeros([1, 1, 3], tf.int32)
    results = tf.data.Dataset.from_tensor_slices(draws).map(
        lambda row: autoaugment.augment(start, row)[0, 0, 0]
    )
    received = collections.Counter(results.batch(count).get_single_element().numpy().tolist())
    expected = collections.Counter()
    for (first, p, _), (second, q, _) in autoaugment.POLICY:
        for is_first, is_second in np.ndindex(2, 2):
            mark = bits[first] * is_first | bits[second] * is_second
            expected[mark] += (p if is_first else 1 - p) * (q if is_second else 1 - q) / 25
    for mark in expected | received:
        share = expected[mark]
        error = 4 * math.sqrt(share * (1 - share) / count)
        assert abs(received[mark] / count - share) <= error + 1e-9, mark


def test_the_sign_turns_to_both_sides():
    pixels = tf.constant(_picture())
    chosen = (10 + 0.5) / 25  # Rotate 8 with probability 0.8, then Color.
    sides = [
        autoaugment.augment(pixels, tf.constant([chosen, 0.1, sign, 0.9, 0.0])).numpy()
        for sign in (0.1, 0.9)
    ]
    for level, received in zip((-8 / 9, 8 / 9), sides, strict=True):
        expected = np.asarray(_rotate(Image.fromarray(pixels.numpy()), level))
        assert np.mean(received != expected) < 0.005
