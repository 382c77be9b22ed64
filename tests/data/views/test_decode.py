"""JPEGs are decoded at the side that their windows need, other files whole."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.pictures import encode_jpeg, smooth_picture
from PIL import Image

from xsample_tf.data import views
from xsample_tf.data.views import geometry


@pytest.mark.parametrize("sides", [(15, 90), (40, 56), (130, 100), (600, 400)])
def test_a_jpeg_is_decoded_as_far_as_its_windows_need(sides):
    policy, ratios = views.SimCLR(16, strength=0.0, blur=False, min_scale=0.3), set()
    picture = smooth_picture(*sides)
    content = encode_jpeg(picture)
    whole = tf.io.decode_jpeg(content)
    for number in range(12):
        seed = tf.constant([number, 2])
        decoded = policy.decode(content, seed)
        draws = tf.random.stateless_uniform([2, geometry.WINDOW_DRAWS + 1 + 12], seed)
        windows = geometry.random_windows(*sides, draws[:, : geometry.WINDOW_DRAWS], 0.3)
        smallest = windows.numpy()[:, 2:].min()
        ratio = max(ratio for ratio in (1, 2, 4, 8) if ratio == 1 or smallest >= 16 * ratio)
        assert decoded.shape == (-(-sides[0] // ratio), -(-sides[1] // ratio), 3)
        ratios.add(ratio)
        if ratio == 1:
            np.testing.assert_array_equal(decoded, whole)
        means = np.asarray(Image.fromarray(whole.numpy()).reduce(ratio))
        assert np.abs(policy(decoded, seed) - policy(means, seed)).mean() < 0.01
    assert ratios == {15: {1}, 40: {1, 2}, 130: {2, 4}, 600: {8}}[sides[0]]


def test_what_is_not_a_jpeg_is_decoded_whole(policy):
    picture = smooth_picture(300, 200)
    content = tf.io.encode_png(picture)
    np.testing.assert_array_equal(policy.decode(content, [1, 2]), picture)
    assert policy.decode(encode_jpeg(picture), [1, 2]).shape[0] < 300
    for broken in (b"", b"rotten", encode_jpeg(picture)[:40]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            policy.decode(broken, [1, 2])
