"""A text encoder written as a SavedModel, and read without this package."""

import subprocess
import sys

import command_line
import convert_text_encoder
import numpy as np
import pytest
import tensorflow as tf
import tiny_encoder

from xsample_tf import text
from xsample_tf.errors import InputError

CAPTIONS = [
    "a dog",
    "A Dog running on grass.",
    "CAFÉ café 狗",
    "dog " * 30,
    "",
    " \u2028\x1f\t",
    "\u200b",
]
# What a user without this package runs.
PROGRAM = """
import sys
import numpy as np
import tensorflow as tf
import tensorflow_text
model = tf.saved_model.load(sys.argv[1])
captions = np.load(sys.argv[2])
vectors = model(captions)
signature = model.signatures["serving_default"](captions=tf.constant(captions))["embedding"]
assert not any(name.startswith("xsample") for name in sys.modules)
np.testing.assert_array_equal(vectors, signature)
np.save(sys.argv[3], vectors)
"""


def convert(*arguments) -> None:
    command_line.parse(["convert_text_encoder", *arguments])
    convert_text_encoder.main()


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    """An encoder's directory and the SavedModel of it."""
    folder = tmp_path_factory.mktemp("text")
    directory = tiny_encoder.write(folder / "tiny", max_length=40, family="mpnet")
    output = folder / "new" / "converted"
    convert(f"--text_encoder={directory}", f"--output={output}")
    return str(directory), str(output)


def test_loads_without_this_package(directories, tmp_path):
    directory, output = directories
    np.save(tmp_path / "captions.npy", [caption.encode() for caption in CAPTIONS])
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", output, "captions.npy", "vectors.npy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = text.load_encoder(directory)(CAPTIONS)
    np.testing.assert_allclose(np.load(tmp_path / "vectors.npy"), expected, atol=1e-6)
    assert not expected[4:6].any() and expected[6].any()


def test_is_a_handle(directories):
    directory, output = directories
    encoder = text.load_encoder(output)
    expected = text.load_encoder(directory)(CAPTIONS)
    assert (encoder.name, encoder.size) == ("converted", 24)
    np.testing.assert_allclose(encoder(CAPTIONS), expected, atol=1e-6)


def test_bytes_that_are_no_text_vanish(directories):
    model = tf.saved_model.load(directories[1])
    broken, whole = model(tf.constant([b"a \xffdog\xc3", b"a dog"])).numpy()
    np.testing.assert_allclose(broken, whole, atol=1e-6)


def test_what_cannot_be_converted_is_refused(directories, tmp_path):
    directory, output = directories
    new = tmp_path / "new"
    (tmp_path / "file").touch()
    cases = [
        ([], "--text_encoder: expected a handle"),
        ([f"--text_encoder={directory}"], "--output: expected a directory"),
        ([f"--text_encoder={directory}", f"--output={output}"], "converted, which exists"),
        (["--text_encoder=lexical", f"--output={new}"], "'lexical'.*the encoder without a model"),
        ([f"--text_encoder={output}", f"--output={new}"], "what is a SavedModel already"),
        (["--text_encoder=lexcal", f"--output={new}"], "did you mean 'lexical'"),
        ([f"--text_encoder={directory}", f"--output={tmp_path}/file/x"], "cannot write .*file/x"),
    ]
    for arguments, message in cases:
        with pytest.raises(InputError, match=message) as error:
            convert(*arguments)
        assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
