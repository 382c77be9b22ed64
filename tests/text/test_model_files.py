"""Weights in one file or several, and one line each for what is no weights of ours."""

import json

import numpy as np
import pytest
import safetensors.numpy

from xsample_tf import text
from xsample_tf.errors import InputError

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 90868376\n"


def shard(directory, parts=2):
    """Cuts the weights into files, as transformers does with large models."""
    whole = directory / "model.safetensors"
    weights = safetensors.numpy.load_file(whole)
    whole.unlink()
    places = {}
    for part in range(parts):
        name = f"model-{part + 1:05}-of-{parts:05}.safetensors"
        own = {key: weights[key] for key in sorted(weights)[part::parts]}
        safetensors.numpy.save_file(own, directory / name)
        places |= dict.fromkeys(own, name)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))


def test_weights_in_several_files(make_directory):
    expected = text.load_encoder(str(make_directory()))(["a dog"])
    directory = make_directory()
    shard(directory)
    np.testing.assert_array_equal(text.load_encoder(str(directory))(["a dog"]), expected)


def _lose_a_shard(directory):
    shard(directory)
    (directory / "model-00002-of-00002.safetensors").unlink()


def _rename(name):
    def rename(directory):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / "model.safetensors").rename(directory / name)

    return rename


def _point(name):
    return lambda directory: (directory / name).write_text(POINTER)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_point("model.safetensors"), "model.safetensors is a Git LFS pointer.*git lfs pull"),
        (_point("vocab.txt"), "vocab.txt is a Git LFS pointer"),
        (_point("tokenizer.json"), "tokenizer.json is a Git LFS pointer"),
        (_rename("pytorch_model.bin"), r"only pytorch_model.bin.*SentenceTransformer\(DIR\).save"),
        (_rename("pytorch_model-00001-of-00002.bin"), "only pytorch_model-00001-of-00002.bin"),
        (_rename("onnx/model_O3.onnx"), r"only ONNX \(onnx/model_O3.onnx\); add the model.safe"),
        (_rename("tf_model.h5"), "only tf_model.h5"),
        (_rename("weights.npz"), "found none; copy the weights"),
        (_lose_a_shard, "expected model-00002-of-00002.safetensors.*index.json names, found none"),
    ],
)
def test_what_is_no_weights_of_ours_gives_one_line(make_directory, damage, message):
    directory = make_directory()
    damage(directory)
    with pytest.raises(InputError, match=message) as error:
        text.load_encoder(str(directory))
    assert "\n" not in str(error.value) and str(directory) in str(error.value)
