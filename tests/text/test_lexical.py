import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xsample_tf import text

ENCODER = text.load_encoder("lexical")


def _cosine(first, second):
    vectors = ENCODER([first, second])
    return float(vectors[0] @ vectors[1])


def test_the_same_in_every_process():
    # Recorded: Python's own hash of a string differs between processes.
    recorded = [-0.0986103, 0.0450756, -0.0044469, -0.0469336]
    vector = ENCODER(["A red ball on the grass"])[0]
    np.testing.assert_allclose(vector[[0, 1, 100, 383]], recorded, atol=1e-6)


@pytest.mark.parametrize(
    ("caption", "other"),
    [
        ("a photo of a dog", "dog"),
        ("a cropped picture of the red balls", "red ball"),
        ("A RED BALL!", "the red ball"),
        ("ball red", "red ball"),
        ("Ｃａｆé", "CAFÉ"),
    ],
)
def test_words_of_the_template_matter_little(caption, other):
    assert _cosine(caption, other) > 0.85


@pytest.mark.parametrize(
    ("caption", "near", "far"),
    [
        ("a red ball on sand", "a red ball on grass", "a blue cube on grass"),
        ("a red ball on sand", "a red cube on sand", "a photo of a green cat"),
        ("two dogs play", "a dog plays", "a cat sleeps"),
        ("snowboarder", "a snowboard", "a skateboard"),
    ],
)
def test_shared_content_is_near(caption, near, far):
    assert _cosine(caption, near) > _cosine(caption, far) + 0.2


def test_unrelated_words_are_near_orthogonal():
    words = "zebra window lamp pizza kite ocean bicycle tulip hammer cloud".split()
    vectors = ENCODER(words)
    others = (vectors @ vectors.T)[~np.eye(len(words), dtype=bool)]
    assert abs(others.mean()) < 0.03 and np.abs(others).max() < 0.2


@pytest.mark.parametrize("caption", ["", "  \n", "!?… 🐶", "___"])
def test_nothing_to_read_gives_zeros(caption):
    assert not ENCODER([caption]).any()


def test_very_long_caption_is_finite():
    vectors = ENCODER(["dog " * 100_000, "x" * 1_000_000, "dog"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(vectors[0], vectors[2])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=5), st.randoms())
def test_any_text_gives_unit_or_zero_rows_whatever_the_order(captions, random):
    vectors = ENCODER(captions)
    assert vectors.shape == (len(captions), 384) and vectors.dtype == np.float32
    lengths = np.linalg.norm(vectors, axis=1)
    assert all(abs(length - 1) < 1e-5 or length == 0 for length in lengths)
    order = random.sample(range(len(captions)), len(captions))
    np.testing.assert_array_equal(ENCODER([captions[i] for i in order]), vectors[order])
