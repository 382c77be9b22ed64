"""Policies: sizes, ranges, seeds, and whole views against their operations one by one."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.pictures import smooth_picture, to_pixels, to_planes
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from xsample_tf.data import views
from xsample_tf.data.views import color, geometry
from xsample_tf.errors import InputError


class TestEveryPolicy:
    def test_same_seed_same_views_and_another_seed_others(self, policy):
        image = smooth_picture()
        first = policy(image, tf.constant([3, 4]))
        assert first.shape == (policy.views, policy.size, policy.size, 3)
        assert first.dtype == tf.float32
        np.testing.assert_array_equal(first, policy(image, tf.constant([3, 4])))
        assert np.abs(first - policy(image, tf.constant([3, 5]))).max() > 0.02
        assert np.abs(first[0] - first[1]).max() > 0.02

    def test_eager_and_graph_agree_in_any_map(self, policy):
        sizes = [(1, 1), (1, 9), (9, 1), (7, 5), (64, 48)]
        pictures = [smooth_picture(*size, seed=i) for i, size in enumerate(sizes)]
        signature = tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([2], tf.int32)
        dataset = tf.data.Dataset.from_generator(
            lambda: ((picture, [1, i]) for i, picture in enumerate(pictures)),
            output_signature=signature,
        ).map(lambda image, seed: policy(image, seed))
        assert dataset.element_spec.shape == (policy.views, policy.size, policy.size, 3)
        for i, received in enumerate(dataset):
            assert np.all((received >= 0) & (received <= 1))
            np.testing.assert_allclose(received, policy(pictures[i], [1, i]), atol=1e-5)

    def test_uint8_and_float_images_agree(self, policy):
        image = smooth_picture()
        bytes_ = policy(image, [0, 7])
        floats = policy(tf.constant(image / 255), [0, 7])
        # Rounding to 8 bits inside AutoAugment can tip to the neighbouring value.
        assert np.mean(np.abs(bytes_ - floats) > 1e-4) < 0.02

    @settings(max_examples=8, deadline=None)
    @given(st.integers(1, 40), st.integers(1, 40), st.integers(-(2**31), 2**31 - 1))
    def test_any_size_and_seed_gives_finite_values_in_range(self, policy, height, width, seed):
        received = policy(smooth_picture(height, width), [seed, 1]).numpy()
        assert np.all(np.isfinite(received))
        assert received.min() >= 0
        assert received.max() <= 1


def test_more_views_leave_the_first_as_they_are():
    two, five = views.SimCLR(16), views.SimCLR(16, views=5)
    np.testing.assert_array_equal(two(smooth_picture(), [1, 2]), five(smooth_picture(), [1, 2])[:2])
    one = views.SimCLR(16, views=1)(smooth_picture(), [1, 2])
    np.testing.assert_array_equal(one, two(smooth_picture(), [1, 2])[:1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: views.AutoAugment(16, views=0), "at least 1 of each"),
        (lambda: views.SimCLR(0), "at least 1 pixel"),
        (lambda: views.Evaluation(-3), "at least 1 pixel"),
        (lambda: views.AutoAugment(2), "at least 3 pixels"),
        (lambda: views.SimCLR(16, min_scale=0.0), "share of the image"),
        (lambda: views.SimCLR(16, min_scale=float("nan")), "share of the image"),
        (lambda: views.SimCLR(16, strength=-1.0), "strength"),
        (lambda: views.SimCLR(16)(np.zeros([4, 4, 1], np.uint8), [0, 0]), r"\[H, W, 3\]"),
        (lambda: views.SimCLR(16)(np.zeros([2, 4, 4, 3], np.uint8), [0, 0]), r"\[H, W, 3\]"),
        (lambda: views.Evaluation(16)(np.zeros([4, 4, 3], np.int32)), "int32"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(make, message):
    with pytest.raises(InputError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_whole_view_equals_its_operations_one_after_the_other():
    """Compiled as one program, and with TensorFlow's own operations."""
    policy, image, seed = views.SimCLR(40), smooth_picture(90, 70), tf.constant([5, 8])
    columns = geometry.WINDOW_DRAWS + 1 + color.JITTER_DRAWS + 3
    draws = tf.random.stateless_uniform([2, columns], seed).numpy()
    first = geometry.WINDOW_DRAWS
    windows = geometry.random_windows(90, 70, draws[:, :first], 0.08)
    received = policy(image, seed)
    for view in range(2):
        part = geometry.resize(geometry.crop(tf.constant(image), windows[view]), 40)
        part = part[:, ::-1] if draws[view, first] < 0.5 else part
        jitter, (gray, *blur) = np.split(draws[view, first + 1 :], [color.JITTER_DRAWS])
        planes = color.grayscale(color.jitter(to_planes(part), jitter, 1.0, 0.8), gray, 0.2)
        expected = to_pixels(color.blur(planes, tf.constant(blur), 0.5))
        np.testing.assert_allclose(received[view], expected, atol=2e-5)


def test_crops_are_cut_and_flipped_and_keep_their_colours():
    policy, image = views.Crops(40, min_scale=0.9), smooth_picture(90, 70)
    for number in range(6):
        seed = tf.constant([number, 8])
        draws = tf.random.stateless_uniform([2, geometry.WINDOW_DRAWS + 1], seed).numpy()
        windows = geometry.random_windows(90, 70, draws[:, :-1], 0.9)
        received = policy(image, seed)
        for view in range(2):
            part = geometry.resize(geometry.crop(tf.constant(image), windows[view]), 40)
            expected = part[:, ::-1] if draws[view, -1] < 0.5 else part
            np.testing.assert_allclose(received[view], expected, atol=2e-5)


@pytest.mark.parametrize("shape", [(64, 64), (60, 100), (97, 41), (7, 9)])
def test_evaluation_is_the_centre_as_pillow_resamples_it(shape):
    image, size = smooth_picture(*shape), 28
    side = 0.875 * min(shape)
    top, left = (shape[0] - side) / 2, (shape[1] - side) / 2
    pillow = Image.fromarray(image).resize(
        (size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )
    received = views.Evaluation(size)(image)
    assert received.shape == (1, size, size, 3)
    np.testing.assert_allclose(received[0], np.asarray(pillow) / 255, atol=1.5 / 255)
    np.testing.assert_array_equal(received, views.Evaluation(size)(image, [4, 2]))


def test_evaluation_leaves_an_image_of_its_size_as_it_is():
    image = smooth_picture(28, 28)
    np.testing.assert_array_equal(views.Evaluation(28)(image)[0], image / np.float32(255))
    floating = image / np.float32(255)
    np.testing.assert_array_equal(views.Evaluation(28)(floating)[0], floating)
    assert np.abs(views.Evaluation(28)(smooth_picture(28, 29))[0] - floating).max() > 0.05
