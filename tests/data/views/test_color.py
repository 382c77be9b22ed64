"""Colour operations against `tf.image` and whole kernels."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.pictures import smooth_picture, to_pixels, to_planes

from xsample_tf.data.views import color


@pytest.mark.parametrize("factor", [0.0, 0.2, 1.0, 1.8])
def test_colour_operations_equal_tf_image(factor):
    image = tf.constant(smooth_picture() / 255, tf.float32)
    planes = to_planes(image)
    clip = lambda x: np.clip(x, 0, 1)  # noqa: E731
    np.testing.assert_allclose(
        to_pixels(color.brightness(planes, factor)), clip(image * factor), atol=1e-6
    )
    for ours, theirs in (
        (color.contrast(planes, factor), tf.image.adjust_contrast(image, factor)),
        (color.saturation(planes, factor), tf.image.adjust_saturation(image, factor)),
        (color.hue(planes, (factor - 1) / 4), tf.image.adjust_hue(image, (factor - 1) / 4)),
        (color.grayscale(planes, 0.1, 0.2), tf.image.rgb_to_grayscale(image)),
    ):
        np.testing.assert_allclose(to_pixels(ours), clip(theirs) * np.ones(3), atol=1e-5)


def test_jitter_applies_all_four_in_the_drawn_order():
    image = tf.constant(smooth_picture() / 255, tf.float32)
    strength, factors, turn = 1.0, [0.2 + 1.6 * u for u in (0.9, 0.2, 0.7)], 0.2 * (2 * 0.1 - 1)
    steps = {
        0: lambda x: x * factors[0],
        1: lambda x: tf.image.adjust_contrast(x, factors[1]),
        2: lambda x: tf.image.adjust_saturation(x, factors[2]),
        3: lambda x: tf.image.adjust_hue(x, turn),
    }
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]):
        keys = np.argsort(order) / 4
        draws = tf.constant([0.5, 0.9, 0.2, 0.7, 0.1, *keys], tf.float32)
        expected = image
        for step in order:
            expected = tf.clip_by_value(steps[step](expected), 0.0, 1.0)
        received = color.jitter(to_planes(image), draws, strength, 0.8)
        np.testing.assert_allclose(to_pixels(received), expected, atol=2e-5)
        unchanged = tf.concat([[0.81], draws[1:]], 0)
        unchanged = color.jitter(to_planes(image), unchanged, strength, 0.8)
        np.testing.assert_array_equal(to_pixels(unchanged), image)


def test_blur_equals_a_convolution_inside_and_keeps_a_plain_image():
    size, sigma = 60, 1.5
    image = tf.random.stateless_uniform([size, size, 3], [0, 1])
    draws = tf.constant([0.1, (sigma - 0.1) / 1.9])
    offsets = np.arange(-3, 4)
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    smooth = lambda row: np.convolve(row, kernel, "valid")  # noqa: E731
    expected = np.apply_along_axis(smooth, 0, np.apply_along_axis(smooth, 1, image.numpy()))
    received = to_pixels(color.blur(to_planes(image), draws, 0.5))
    np.testing.assert_allclose(received[3:-3, 3:-3], expected, atol=1e-5)
    plain = tf.fill([3, size, size], 0.7)
    np.testing.assert_allclose(color.blur(plain, draws, 0.5), plain, atol=1e-6)
    np.testing.assert_array_equal(color.blur(plain, tf.constant([0.6, 0.5]), 0.5), plain)


@pytest.mark.parametrize("sigma", [0.1, 0.66, 0.68, 1.4, 1.99])
def test_blur_equals_the_whole_kernel_normalised_at_the_border(sigma):
    size, radius = 224, 11
    image = tf.random.stateless_uniform([size, size, 3], [0, 1])
    distance = np.arange(size)[:, None] - np.arange(size)
    kernel = np.where(np.abs(distance) <= radius, np.exp(-(distance**2) / (2 * sigma**2)), 0)
    kernel /= kernel.sum(1, keepdims=True)
    expected = np.tensordot(kernel, np.tensordot(kernel, image.numpy(), (1, 0)), (1, 1))
    expected = np.swapaxes(expected, 0, 1)
    received = color.blur(to_planes(image), tf.constant([0.1, (sigma - 0.1) / 1.9]), 0.5)
    np.testing.assert_allclose(to_pixels(received), expected, atol=1e-5)
