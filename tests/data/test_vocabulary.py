"""The vocabulary of a data directory, and the tokens of its stream."""

import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers import data_directory

from xsample_tf import data, text
from xsample_tf.errors import InputError


def learn(captions, size):
    assert size == 100
    words = {word for group in captions for caption in group for word in caption.split()}
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(words)]


class Numbers:
    """Makes a caption "3" the tokens [3, 0]."""

    length = 2

    def __call__(self, captions):
        numbers = tf.strings.to_number(tf.where(captions == "", "-1", captions), tf.int32)
        return tf.stack([numbers, tf.zeros_like(numbers)], axis=1)


@pytest.fixture
def directory(scenes_directory, tmp_path):
    return str(shutil.copytree(scenes_directory, tmp_path / "data"))


def test_it_is_learned_once_and_kept_with_the_data(directory):
    lines = []
    made = data.add_vocabulary(directory, 100, learn, log=lines.append)
    tokens = data.read_vocabulary(made)
    assert "star" in tokens and lines[-1] == f"{'vocabulary':<24}{len(tokens)} tokens"
    again = data.read_dataset(directory)
    assert again == made and data.read_vocabulary(again) == tokens
    data.add_vocabulary(directory, 100, None, log=lines.append)
    assert lines[-1].endswith("as before")
    received = f"has one of {len(tokens)} tokens, received 5; .*overwrite"
    with pytest.raises(InputError, match=received):
        data.add_vocabulary(directory, 5, None)
    pathlib.Path(directory, "vocabulary.txt").write_text("changed")
    with pytest.raises(InputError, match="is not what was learned; restore that file"):
        data.read_vocabulary(again)


def test_data_without_one_says_how_to_learn_it(scenes_directory, tmp_path):
    with pytest.raises(InputError, match="has none; learn it by: python tools/prepare_data.py"):
        data.read_vocabulary(data.read_dataset(scenes_directory))
    bare = data_directory.write_directory(tmp_path)
    dataset = data.read_dataset(bare)
    assert "vocabulary" not in pathlib.Path(bare, "dataset.json").read_text()
    with pytest.raises(InputError, match="expected captions in"):
        data.add_vocabulary(_without_captions(dataset), 100, learn)


def _without_captions(dataset):
    path = pathlib.Path(dataset.directory, "dataset.json")
    path.write_text(path.read_text().replace('"captions_per_image": 3', '"captions_per_image": 0'))
    return dataset.directory


@pytest.mark.slow  # A process of 6 s.
def test_the_tool_learns_one_of_data_that_is_there(directory, repository):
    command = [sys.executable, repository / "tools" / "prepare_data.py", f"--output={directory}"]
    done = subprocess.run([*command, "--vocabulary=120"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tokens = data.read_vocabulary(data.read_dataset(directory))
    assert len(tokens) <= 120 and "star" in tokens
    assert f"{len(tokens)} tokens" in done.stdout
    text.PaddedTokenizer(tokens, 16)


def test_tokens_are_of_the_caption_whose_vector_is_drawn(tmp_path):
    """Caption k of each image is "k", its vector the k-th unit vector."""

    def vector(i):
        return np.eye(4, dtype=np.float16)[: i % 3 + 1]

    def record(i):
        image = data_directory.image_files.encode_png(np.full((9, 12, 3), i, np.uint8))
        return data_directory.records.serialize(image, f"key{i}", list("012"[: i % 3 + 1]), 0)

    made = data_directory.write_directory(tmp_path, record=record, vector=vector)
    seen = set()
    for _, side in data_directory.take(made, 4, tokens=Numbers()):
        np.testing.assert_array_equal(side["tokens"][:, 0], side["embedding"].argmax(axis=1))
        assert side["tokens"].shape == (10, 2) and "captions" not in side
        seen |= set(side["tokens"][:, 0])
    assert seen == {0, 1, 2}
    with pytest.raises(InputError, match="captions: expected 'draw' with tokens, received 'mean'"):
        data_directory.take(made, 1, tokens=Numbers(), captions="mean")
