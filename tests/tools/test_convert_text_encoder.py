"""A text encoder written as a SavedModel, and read without this package."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny_encoder

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


def convert(repository, *flags) -> subprocess.CompletedProcess:
    command = [sys.executable, str(repository / "tools" / "convert_text_encoder.py"), *flags]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def directories(repository, tmp_path_factory):
    """An encoder's directory and the SavedModel of it."""
    folder = tmp_path_factory.mktemp("text")
    directory = tiny_encoder.write(folder / "tiny", max_length=40, family="mpnet")
    output = folder / "new" / "converted"
    done = convert(repository, f"--text_encoder={directory}", f"--output={output}")
    assert done.returncode == 0, done.stderr
    return str(directory), str(output)


@pytest.mark.slow  # A process of 12 s; tests/text/test_oracles.py has one as well.
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


@pytest.mark.slow  # A process of 9 s.
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


def test_a_flag_that_is_missing_is_named(repository):
    done = convert(repository, "--text_encoder=lexical")
    assert done.returncode == 2
    assert "error: --output: expected a directory" in done.stderr.splitlines()[-1]


def test_what_cannot_be_converted_is_refused(directories, tmp_path):
    directory, output = directories
    new = tmp_path / "new"
    (tmp_path / "file").touch()
    cases = [
        (directory, output, "converted, which exists"),
        ("lexical", new, "'lexical'.*the encoder without a model"),
        (output, new, "what is a SavedModel already"),
        ("lexcal", new, "did you mean 'lexical'"),
        (directory, tmp_path / "file" / "x", "cannot write .*file/x"),
    ]
    for handle, target, message in cases:
        with pytest.raises(InputError, match=message) as error:
            text.convert(handle, target)
        assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
