"""Ids and vectors of small encoders that transformers saved are transformers' own.

tests/helpers/encoder_oracles.py wrote the oracles, in PyTorch.
"""

import functools
import hashlib
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from helpers import lines, saved_encoder

from xsample_tf import text
from xsample_tf.text.sentence_transformer_files import read_layout
from xsample_tf.text.tokenizers import sentencepiece_model

CAPTIONS = lines.lines(1000)
NAMES = ["bert", "bert-of-xlm-roberta", "distilbert", "roberta", "xlm-roberta"]


@functools.cache
def charsmap() -> bytes:
    return sentencepiece_model.parse(saved_encoder.sentencepiece_model()).charsmap


@pytest.fixture(scope="module", params=NAMES)
def saved(request, tmp_path_factory):
    """An encoder's directory, and what the oracle has of it."""
    oracle = saved_encoder.oracle(request.param)
    folder = tmp_path_factory.mktemp("oracle") / request.param
    return saved_encoder.write(folder, oracle, charsmap()), oracle


def rows(directory: pathlib.Path, captions: list[str], max_length: int) -> list[list[int]]:
    tokenizer = read_layout(str(directory)).make_tokenizer(max_length)
    return tokenizer([caption.encode() for caption in captions]).to_list()


def test_ids_in_ten_scripts(saved):
    directory, oracle = saved
    ids = rows(directory, CAPTIONS, 10_000)
    assert ids[: len(oracle["ids"])] == oracle["ids"]  # The first ones in full.
    texts = [" ".join(map(str, row)).encode() for row in ids]
    digests = [hashlib.sha256(one).hexdigest()[:8] for one in texts]
    expected = [oracle["digests"][start : start + 8] for start in range(0, 8000, 8)]
    wrong = [CAPTIONS[place] for place in range(1000) if digests[place] != expected[place]]
    assert wrong == []


def test_ids_are_cut(saved):
    directory, _ = saved
    longest = sorted(CAPTIONS, key=len)[-100:]
    for cut, whole in zip(rows(directory, longest, 12), rows(directory, longest, 999), strict=True):
        assert cut == [*whole[:-1][:11], whole[-1]]


def test_vectors(saved):
    directory, oracle = saved
    expected = np.array(oracle["vectors"])
    encoder = text.load_encoder(str(directory))
    assert encoder.size == expected.shape[1]
    vectors = encoder(CAPTIONS[: len(expected)])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_a_saved_model_gives_the_same(saved, tmp_path):
    directory, oracle = saved
    text.convert(str(directory), tmp_path / "converted")
    count = len(oracle["vectors"])
    vectors = tf.saved_model.load(str(tmp_path / "converted"))(tf.constant(CAPTIONS[:count]))
    np.testing.assert_allclose(vectors, oracle["vectors"], atol=1e-6)
