"""Ids and vectors of small encoders that transformers saved are transformers' own.

tests/helpers/encoder_oracles.py wrote the oracles, in PyTorch.
"""

import functools
import hashlib
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from helpers import lines, saved_encoder
from hypothesis import given, settings
from hypothesis import strategies as st

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


# What a user without this package runs.
PROGRAM = """
import sys
import numpy as np
import tensorflow as tf
import tensorflow_text
captions = tf.constant(np.load("captions.npy"))
for name in sys.argv[1:]:
    np.save(f"{name}.npy", tf.saved_model.load(name)(captions))
assert not any(name.startswith(("xsample", "keras_hub", "transformers")) for name in sys.modules)
"""


@pytest.mark.slow  # A process of its own imports TensorFlow.
def test_saved_models_load_without_this_package(tmp_path):
    names = ("distilbert", "roberta", "xlm-roberta")
    oracles = {name: saved_encoder.oracle(name) for name in names}
    for name, oracle in oracles.items():
        directory = saved_encoder.write(tmp_path / "saved" / name, oracle, charsmap())
        text.convert(str(directory), tmp_path / name)
    captions = [caption.encode() for caption in CAPTIONS[: len(oracle["vectors"])]]
    np.save(tmp_path / "captions.npy", captions)
    command = [sys.executable, "-c", PROGRAM, *oracles]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "normalizer" not in done.stderr  # Nor does SentencePiece say anything of its own.
    for name, oracle in oracles.items():
        vectors = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(vectors, oracle["vectors"], atol=1e-6)


@pytest.mark.parametrize("name", ["bert", "roberta", "xlm-roberta"])
def test_ids_of_any_text(name, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")  # keras-hub brings it.
    directory = saved_encoder.write(tmp_path, saved_encoder.oracle(name), charsmap())
    # BERT's tables are of Unicode 8, so later accents and punctuation stay out.
    characters = st.characters(
        max_codepoint=0x7BF, exclude_categories=["Cn", "Cs"], exclude_characters="\u061d"
    )
    captions = []

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(st.text(characters | st.sampled_from("  \t\u3000ﾊﾟ犬各\u200dが👩🏽"), max_size=30))
    def collect(caption):
        captions.append(caption)

    collect()
    special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    captions = [one for one in captions if one.strip() and not any(t in one for t in special)]
    reference = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    assert rows(directory, captions, 1000) == [one.ids for one in reference.encode_batch(captions)]
