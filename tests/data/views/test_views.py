"""Views: sizes, ranges and seeds; crops and colours against independent references."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from xsample_tf.data import views
from xsample_tf.data.views import color, geometry, random_crops
from xsample_tf.errors import InputError

POLICIES = [
    views.SimCLR(16),
    views.SimCLR(24, views=3, blur=True, strength=0.5),
    views.AutoAugment(16),
]


def _picture(height=40, width=56, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("policy", POLICIES, ids=["simclr", "simclr blur", "autoaugment"])
class TestEveryPolicy:
    def test_same_seed_same_views_and_another_seed_others(self, policy):
        image = _picture()
        first = policy(image, tf.constant([3, 4]))
        assert first.shape == (policy.views, policy.size, policy.size, 3)
        assert first.dtype == tf.float32
        np.testing.assert_array_equal(first, policy(image, tf.constant([3, 4])))
        assert np.abs(first - policy(image, tf.constant([3, 5]))).max() > 0.02
        assert np.abs(first[0] - first[1]).max() > 0.02

    def test_eager_and_graph_agree_in_any_map(self, policy):
        sizes = [(1, 1), (1, 9), (9, 1), (7, 5), (64, 48)]
        pictures = [_picture(*size, seed=i) for i, size in enumerate(sizes)]
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
        image = _picture()
        bytes_ = policy(image, [0, 7])
        floats = policy(tf.constant(image / 255), [0, 7])
        # Rounding to 8 bits inside AutoAugment can tip to the neighbouring value.
        assert np.mean(np.abs(bytes_ - floats) > 1e-4) < 0.02

    @settings(max_examples=8, deadline=None)
    @given(st.integers(1, 40), st.integers(1, 40), st.integers(-(2**31), 2**31 - 1))
    def test_any_size_and_seed_gives_finite_values_in_range(self, policy, height, width, seed):
        received = policy(_picture(height, width), [seed, 1]).numpy()
        assert np.all(np.isfinite(received))
        assert received.min() >= 0
        assert received.max() <= 1


def test_more_views_leave_the_first_as_they_are():
    two, five = views.SimCLR(16), views.SimCLR(16, views=5)
    np.testing.assert_array_equal(two(_picture(), [1, 2]), five(_picture(), [1, 2])[:2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: views.SimCLR(16, views=1), "at least 2"),
        (lambda: views.AutoAugment(16, views=0), "at least 2"),
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


def _plain_view(image, window, flip, size):
    """A view without any colour operation."""
    policy = random_crops.RandomViews(size, 2, 0.08, 1, random_crops.plain)
    same = tf.constant([window] * 2), tf.constant([flip] * 2)
    return tf.transpose(policy._make(tf.constant(image), *same, tf.zeros([2, 1]))[1], [2, 1, 0])


def test_a_view_is_its_window_as_pillow_resamples_it():
    image = _picture(60, 80)
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


def _jpeg(image: np.ndarray) -> bytes:
    return tf.io.encode_jpeg(image, quality=95).numpy()


@pytest.mark.parametrize("sides", [(15, 90), (40, 56), (130, 100), (600, 400)])
def test_a_jpeg_is_decoded_as_far_as_its_windows_need(sides):
    policy, ratios = views.SimCLR(16, strength=0.0, blur=False, min_scale=0.3), set()
    picture = _picture(*sides)
    content = _jpeg(picture)
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


@pytest.mark.parametrize("policy", POLICIES, ids=["simclr", "simclr blur", "autoaugment"])
def test_what_is_not_a_jpeg_is_decoded_whole(policy):
    picture = _picture(300, 200)
    content = tf.io.encode_png(picture)
    np.testing.assert_array_equal(policy.decode(content, [1, 2]), picture)
    assert policy.decode(_jpeg(picture), [1, 2]).shape[0] < 300
    for broken in (b"", b"rotten", _jpeg(picture)[:40]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            policy.decode(broken, [1, 2])


def _planes(image):
    return tf.transpose(image, [2, 0, 1])


def _pixels(planes):
    return tf.transpose(planes, [1, 2, 0])


@pytest.mark.parametrize("factor", [0.0, 0.2, 1.0, 1.8])
def test_colour_operations_equal_tf_image(factor):
    image = tf.constant(_picture() / 255, tf.float32)
    planes = _planes(image)
    clip = lambda x: np.clip(x, 0, 1)  # noqa: E731
    np.testing.assert_allclose(
        _pixels(color.brightness(planes, factor)), clip(image * factor), atol=1e-6
    )
    for ours, theirs in (
        (color.contrast(planes, factor), tf.image.adjust_contrast(image, factor)),
        (color.saturation(planes, factor), tf.image.adjust_saturation(image, factor)),
        (color.hue(planes, (factor - 1) / 4), tf.image.adjust_hue(image, (factor - 1) / 4)),
        (color.grayscale(planes, 0.1, 0.2), tf.image.rgb_to_grayscale(image)),
    ):
        np.testing.assert_allclose(_pixels(ours), clip(theirs) * np.ones(3), atol=1e-5)


def test_jitter_applies_all_four_in_the_drawn_order():
    image = tf.constant(_picture() / 255, tf.float32)
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
        received = color.jitter(_planes(image), draws, strength, 0.8)
        np.testing.assert_allclose(_pixels(received), expected, atol=2e-5)
        unchanged = tf.concat([[0.81], draws[1:]], 0)
        unchanged = color.jitter(_planes(image), unchanged, strength, 0.8)
        np.testing.assert_array_equal(_pixels(unchanged), image)


def test_blur_equals_a_convolution_inside_and_keeps_a_plain_image():
    size, sigma = 60, 1.5
    image = tf.random.stateless_uniform([size, size, 3], [0, 1])
    draws = tf.constant([0.1, (sigma - 0.1) / 1.9])
    offsets = np.arange(-3, 4)
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    smooth = lambda row: np.convolve(row, kernel, "valid")  # noqa: E731
    expected = np.apply_along_axis(smooth, 0, np.apply_along_axis(smooth, 1, image.numpy()))
    received = _pixels(color.blur(_planes(image), draws, 0.5))
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
    received = color.blur(_planes(image), tf.constant([0.1, (sigma - 0.1) / 1.9]), 0.5)
    np.testing.assert_allclose(_pixels(received), expected, atol=1e-5)


def test_a_whole_view_equals_its_operations_one_after_the_other():
    """Compiled as one program, and with TensorFlow's own operations."""
    policy, image, seed = views.SimCLR(40), _picture(90, 70), tf.constant([5, 8])
    columns = geometry.WINDOW_DRAWS + 1 + color.JITTER_DRAWS + 3
    draws = tf.random.stateless_uniform([2, columns], seed).numpy()
    first = geometry.WINDOW_DRAWS
    windows = geometry.random_windows(90, 70, draws[:, :first], 0.08)
    received = policy(image, seed)
    for view in range(2):
        part = geometry.resize(geometry.crop(tf.constant(image), windows[view]), 40)
        part = part[:, ::-1] if draws[view, first] < 0.5 else part
        jitter, (gray, *blur) = np.split(draws[view, first + 1 :], [color.JITTER_DRAWS])
        planes = color.grayscale(color.jitter(_planes(part), jitter, 1.0, 0.8), gray, 0.2)
        expected = _pixels(color.blur(planes, tf.constant(blur), 0.5))
        np.testing.assert_allclose(received[view], expected, atol=2e-5)


@pytest.mark.parametrize("shape", [(64, 64), (60, 100), (97, 41), (7, 9)])
def test_evaluation_is_the_centre_as_pillow_resamples_it(shape):
    image, size = _picture(*shape), 28
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
    image = _picture(28, 28)
    np.testing.assert_array_equal(views.Evaluation(28)(image)[0], image / np.float32(255))
    floating = image / np.float32(255)
    np.testing.assert_array_equal(views.Evaluation(28)(floating)[0], floating)
    assert np.abs(views.Evaluation(28)(_picture(28, 29))[0] - floating).max() > 0.05
