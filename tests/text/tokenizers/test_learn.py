"""A vocabulary learned from captions, and tokens of one length by it."""

import random

import pytest
import tensorflow as tf

from xsample_tf import text
from xsample_tf.errors import InputError

WORDS = "a two red blue dogs dog cat running sitting on grass the table naïve".split()


def captions(count=300):
    drawn = random.Random(0)
    return [" ".join(drawn.choices(WORDS, k=6)) for _ in range(count)]


@pytest.fixture(scope="module")
def vocabulary():
    return text.learn_vocabulary([captions()], 200)


def test_it_has_the_special_tokens_the_characters_and_the_words(vocabulary):
    assert vocabulary[:4] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    assert len(vocabulary) <= 200 and len(set(vocabulary)) == len(vocabulary)
    # Small letters without accents, as they are read.
    assert {"a", "##a", "dogs", "running", "naive"} <= set(vocabulary)
    assert "naïve" not in vocabulary


def test_the_same_captions_in_another_order_give_the_same(vocabulary):
    parts = captions()[::-1]
    assert text.learn_vocabulary([parts[:100], parts[100:]], 200) == vocabulary


def test_tokens_end_with_the_end_token_however_long_a_text_is(vocabulary):
    tokenizer = text.PaddedTokenizer(vocabulary, 12)
    texts = ["Two DOGS, running", "", "dog " * 100, "\U0001f436 dog"]
    tokens = tokenizer(tf.constant(texts)).numpy()
    assert tokens.shape == (4, 12) and tokens.dtype == "int32"
    index = {token: place for place, token in enumerate(vocabulary)}
    first, end, unknown = (index[token] for token in ("[CLS]", "[SEP]", "[UNK]"))
    assert tokens[1].tolist() == [first, end] + [0] * 10
    assert tokens[2].tolist() == [first] + [index["dog"]] * 10 + [end]
    assert tokens[3].tolist()[:4] == [first, unknown, index["dog"], end]
    assert tokens[0, 1:3].tolist() == [index["two"], index["dogs"]]
    assert (tokens == end).sum(axis=1).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: text.learn_vocabulary([captions()], 20), "at least 64 tokens, received 20"),
        (lambda: text.learn_vocabulary([["", " "]], 100), "captions with words, received none"),
        (lambda: text.PaddedTokenizer(["a", "b"], 8), r"\[PAD\], .* received a, b"),
        (lambda: text.PaddedTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]"], 2), "at least 3"),
    ],
)
def test_what_cannot_be_is_named(make, words):
    with pytest.raises(InputError, match=words):
        make()
