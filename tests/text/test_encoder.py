import numpy as np
import pytest

from xsample_tf.errors import InputError
from xsample_tf.text import TextEncoder


class Table(TextEncoder):
    """Vectors by caption, and a record of what was asked for."""

    rows = {
        "large": [3e30, 4e30],
        "small": [0.3, 0.4],
        "zero": [0, 0],
        "nan": [np.nan, 1],
        "infinite": [np.inf, 1],
    }

    def __init__(self, handle="table"):
        super().__init__(handle, 2)
        self.asked = []

    def _encode(self, captions):
        self.asked += captions
        return np.array([self.rows[caption] for caption in captions], np.float32)


def test_rows_are_unit_zero_or_not_a_number():
    vectors = Table()(["large", "small", "zero", "nan", "infinite", " "])
    np.testing.assert_allclose(vectors[:2], [[0.6, 0.8], [0.6, 0.8]], atol=1e-6)
    assert not vectors[[2, 5]].any() and np.isnan(vectors[[3, 4]]).all()


def test_equal_captions_are_computed_once_and_blank_ones_never():
    encoder = Table()
    vectors = encoder(["small", "", "large", "small", "\t"])
    assert encoder.asked == ["small", "large"]
    np.testing.assert_array_equal(vectors[0], vectors[3])


def test_no_captions():
    assert Table()([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("captions", "message"),
    [("small", "one string"), (["small", None], "NoneType at index 1"), ([b"small"], "bytes")],
)
def test_what_is_not_a_list_of_strings_is_refused(captions, message):
    with pytest.raises(InputError, match=message):
        Table()(captions)


@pytest.mark.parametrize(
    ("handle", "name"),
    [
        ("lexical", "lexical"),
        ("sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2"),
        ("https://tfhub.dev/google/universal-sentence-encoder/4", "universal-sentence-encoder-4"),
        ("/models/my encoder (new)/", "my-encoder-new"),
        ("C:\\models\\mini", "mini"),
        ("///", "encoder"),
    ],
)
def test_names_are_safe_for_files(handle, name):
    assert Table(handle).name == name
