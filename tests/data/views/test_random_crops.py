"""Views without colours: the window as Pillow resamples it, and mirrored ones."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.pictures import smooth_picture
from PIL import Image

from xsample_tf.data import views
from xsample_tf.data.views import geometry, random_crops


def _plain_view(image, window, flip, size):
    """A view without any colour operation."""
    policy = random_crops.RandomViews(size, 2, 0.08, 1, random_crops.plain)
    same = tf.constant([window] * 2), tf.constant([flip] * 2)
    return tf.transpose(policy._make(tf.constant(image), *same, tf.zeros([2, 1]))[1], [2, 1, 0])


def test_a_view_is_its_window_as_pillow_resamples_it():
    image = smooth_picture(60, 80)
    for flip in (False, True):
        expected = Image.fromarray(image).crop((20, 10, 50, 50))
        if flip:
            expected = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for size in (8, 24, 100):
            pillow = np.asarray(expected.resize((size, size), Image.Resampling.BILINEAR))
            received = _plain_view(image, [10, 20, 40, 30], flip, size)
            np.testing.assert_allclose(received, pillow / 255, atol=1.5 / 255)


@pytest.mark.parametrize(
    "sides", [(1, 1), (1, 7), (20, 19), (31, 41), (70, 55), (76, 76), (99, 80)]
)
def test_two_passes_equal_the_kernel_for_windows_of_any_size(sides):
    """On every canvas, and for windows that are larger than all of them."""
    image = np.random.default_rng(0).integers(0, 256, (*sides, 3), np.uint8)
    expected = geometry.resize(tf.constant(image), 16)
    for pixels in (image, np.float32(image / 255)):
        received = _plain_view(pixels, [0, 0, *sides], False, 16)
        np.testing.assert_allclose(received, expected, atol=2e-6)
        received = _plain_view(pixels, [0, 0, *sides], True, 16)
        np.testing.assert_allclose(received, expected[:, ::-1], atol=2e-6)


def test_half_of_the_views_are_mirrored():
    """A ramp from left to right shows its direction in any crop."""
    ramp = np.repeat(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None], 64, 0)
    policy = views.SimCLR(8, views=8, strength=0.0, blur=False, min_scale=0.5)
    ramp = tf.constant(np.repeat(ramp, 3, 2))
    dataset = tf.data.Dataset.range(100).map(lambda i: policy(ramp, tf.stack([i, 6])))
    received = dataset.unbatch().batch(800).get_single_element().numpy()
    mirrored = received[:, :, 0].mean((1, 2)) > received[:, :, -1].mean((1, 2))
    assert mirrored.mean() == pytest.approx(0.5, abs=0.07)
