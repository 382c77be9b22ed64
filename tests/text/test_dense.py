"""Dense layers; that their vectors are sentence-transformers' is in test_oracles.py."""

import json

import numpy as np
import pytest
import safetensors.numpy

from xsample_tf import text
from xsample_tf.errors import InputError
from xsample_tf.text.dense import Dense, read_config

CONFIG = {
    "in_features": 3,
    "out_features": 2,
    "bias": True,
    "activation_function": "torch.nn.modules.activation.Tanh",
}
WEIGHTS = {
    "linear.weight": np.array([[1, 0, 0], [0, 1, -1]], np.float32),
    "linear.bias": np.array([0, 0.5], np.float32),
}


def write(directory, weights=WEIGHTS, **changes):
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(CONFIG | changes))
    safetensors.numpy.save_file(weights, directory / "model.safetensors")
    return str(directory)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("torch.nn.modules.activation.Tanh", [np.tanh(2), np.tanh(-3.5)]),
        ("torch.nn.modules.linear.Identity", [2, -3.5]),
        ("torch.nn.modules.activation.ReLU", [2, 0]),
        ("torch.nn.modules.activation.Sigmoid", [0.880797, 0.029312]),
        ("torch.nn.modules.activation.GELU", [1.954500, -0.000814]),
        (None, [np.tanh(2), np.tanh(-3.5)]),
    ],
)
def test_activations(tmp_path, activation, expected):
    dense = Dense(read_config(write(tmp_path, activation_function=activation)))
    np.testing.assert_allclose(dense([[2.0, 1.0, 5.0]])[0], expected, atol=1e-6)


def test_without_bias(tmp_path):
    dense = Dense(read_config(write(tmp_path, bias=False, activation_function="torch.nn.Identity")))
    np.testing.assert_array_equal(dense([[2.0, 1.0, 5.0]])[0], [2, -4])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation_function": "torch.nn.modules.activation.Tan"}, "did you mean 'Tanh'"),
        ({"activation_function": "mine.Tanh"}, "received 'mine.Tanh'"),
        ({"module_input_name": "token_embeddings"}, "of the pooled vector.*token_embeddings"),
        ({"use_residual": True}, "without residual.*use_residual True"),
        ({"in_features": None}, "expected in_features"),
        ({"in_features": 4}, r"linear.weight of shape \[2, 4\].*received \(2, 3\)"),
        ({"weights": {"linear.weight": WEIGHTS["linear.weight"]}}, "linear.bias.*no such tensor"),
    ],
)
def test_what_is_not_implemented_or_damaged(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as error:
        Dense(read_config(write(tmp_path, **changes)))
    assert "\n" not in str(error.value)


def _add_dense(directory, **changes):
    write(directory / "2_Dense", **changes)
    modules = json.loads((directory / "modules.json").read_text())
    dense = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (directory / "modules.json").write_text(json.dumps([*modules, dense]))


def test_a_layer_for_vectors_of_another_size_is_refused(make_directory):
    directory = make_directory(normalize=False)
    _add_dense(directory)
    with pytest.raises(InputError, match="2_Dense: expected in_features 24.*received 3"):
        text.load_encoder(str(directory))


def test_pickled_weights_of_a_dense_layer_are_refused(make_directory):
    directory = make_directory(normalize=False)
    _add_dense(directory, in_features=24)
    (directory / "2_Dense/model.safetensors").rename(directory / "2_Dense/pytorch_model.bin")
    (directory / "model.safetensors").write_bytes(b"not read")
    with pytest.raises(InputError, match="2_Dense: expected .*only pytorch_model.bin"):
        text.load_encoder(str(directory))
