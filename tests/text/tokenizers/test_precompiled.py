import pytest
import tensorflow as tf
from helpers import saved_encoder

from xsample_tf.text.tokenizers import precompiled, sentencepiece_model


@pytest.fixture(scope="module")
def normalize():
    charsmap = sentencepiece_model.parse(saved_encoder.sentencepiece_model()).charsmap
    return precompiled.Precompiled(charsmap)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a dog", "a dog"),
        ("ﬁne ｆｕｌｌ ①", "fine full 1"),
        ("e\u0301te\u0301", "été"),
        ("a\u0008b\u200bc", "ab c"),
        # A cluster of less than six bytes becomes what the first rule makes of its beginning.
        ("o\u0302\u0323x", "ôx"),
        ("½\u0301", "1⁄2"),
        ("\u0301a", "\u0301a"),
        # Those of six bytes and more are taken apart.
        ("か\u3099", "か\u3099"),
        ("ﾊﾟ", "ハ\u309a"),
        ("が", "が"),
        ("น้ำ", "น้\u0e4d\u0e32"),
        ("", ""),
    ],
)
def test_clusters(normalize, caption, expected):
    # Checked once against Precompiled of Hugging Face's tokenizers 0.23.
    assert normalize(tf.constant([caption])).numpy()[0].decode() == expected


def test_captions_do_not_touch(normalize):
    captions = ["e", "\u0301", "", "e\u0301"]
    found = [one.decode() for one in normalize(tf.constant(captions)).numpy()]
    assert found == ["e", "\u0301", "", "é"]


def test_no_captions(normalize):
    assert normalize(tf.constant([], tf.string)).shape == [0]


@pytest.mark.parametrize("charsmap", [b"", b"\x04\0\0\0", b"\xff" * 9, b"\x02\0\0\0abc"])
def test_damaged_rules(charsmap):
    with pytest.raises(ValueError, match="trie"):
        precompiled.rules(charsmap)


def test_rules_that_change_nothing():
    assert precompiled.rules(precompiled.without_rules()) == {"\x01": "\x01"}
