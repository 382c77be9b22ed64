"""Windows against the published algorithm."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from xsample_tf.data.views import geometry


def _reference_window(rng, height, width, min_scale):
    """One draw by the published algorithm, in NumPy."""
    for _ in range(10):
        area = height * width * rng.uniform(min_scale, 1)
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return rng.integers(0, height - h + 1), rng.integers(0, width - w + 1), h, w
    ratio = np.clip(width / height, 3 / 4, 4 / 3)
    w, h = min(width, round(height * ratio)), min(height, round(width / ratio))
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize("size", [(48, 64), (100, 25)])
@pytest.mark.parametrize("min_scale", [0.08, 0.5])
def test_windows_are_distributed_as_the_reference(size, min_scale):
    count = 4000
    draws = tf.random.stateless_uniform([count, geometry.WINDOW_DRAWS], [1, 2])
    received = geometry.random_windows(*size, draws, min_scale).numpy().astype(float)
    rng = np.random.default_rng(0)
    expected = np.array([_reference_window(rng, *size, min_scale) for _ in range(count)])
    for windows in (received, expected):
        assert np.all(windows[:, :2] >= 0)
        assert np.all(windows[:, :2] + windows[:, 2:] <= size)
    for statistic in (
        lambda w: w[:, 2] * w[:, 3],  # Area.
        lambda w: np.log(w[:, 3] / w[:, 2]),  # Aspect ratio.
        lambda w: w[:, 0] + w[:, 2] / 2,  # Centre.
        lambda w: w[:, 1] + w[:, 3] / 2,
    ):
        one, two = statistic(received), statistic(expected)
        error = 4 * np.sqrt((one.var() + two.var()) / count)
        assert abs(one.mean() - two.mean()) <= error
        assert one.std() == pytest.approx(two.std(), rel=0.08)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(0, 2**31 - 1))
def test_windows_lie_within_any_image(height, width, seed):
    draws = tf.random.stateless_uniform([16, geometry.WINDOW_DRAWS], [seed, 0])
    for extreme in (draws, tf.ones_like(draws) * np.float32(1 - 2**-24)):
        windows = geometry.random_windows(height, width, extreme, 0.08).numpy()
        assert np.all(windows[:, :2] >= 0)
        assert np.all(windows[:, 2:] >= 1)
        assert np.all(windows[:, :2] + windows[:, 2:] <= [height, width])
