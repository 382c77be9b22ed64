"""Encoders and projectors as people bring them: taken, or refused in a line when made."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import door

from xsample_tf.errors import InputError
from xsample_tf.models import XSampleModel


def several(kind):
    images = keras.Input((4, 4, 3))
    x = keras.layers.Flatten()(images)
    found = [keras.layers.Dense(8, name="vector")(x), keras.layers.Dense(4, name="logits")(x)]
    if kind == "list":
        return keras.Model(images, found)
    return keras.Model(images, dict(zip(("vector", "logits"), found, strict=True)))


class Subclassed(keras.Model):
    """Two vectors by name, without a functional graph to look at."""

    def __init__(self):
        super().__init__()
        self.flat, self.dense = keras.layers.Flatten(), keras.layers.Dense(8)

    def call(self, images):
        vectors = self.dense(self.flat(images))
        return {"vector": vectors, "half": vectors[:, :4]}


def subclassed():
    encoder = Subclassed()
    encoder(np.zeros((1, 4, 4, 3), "float32"))
    return encoder


@pytest.mark.parametrize("make", [lambda: several("list"), lambda: several("dict"), subclassed])
def test_one_of_several_outputs_is_chosen_by_its_name(make, tmp_path):
    views, captions = door.arrays()
    with pytest.raises(InputError, match=r"outputs \{.*\(None, 8\).*output='vector'"):
        XSampleModel(make())
    with pytest.raises(InputError, match="output: received 'vectr', did you mean 'vector'"):
        XSampleModel(make(), output="vectr")
    given = make()
    model = door.model(made=given, output="vector", compiled={"run_eagerly": True})
    before = door.values(given)
    model.fit(views, captions, verbose=0)
    after = door.values(given)  # The very weights that were given.
    assert any(not np.array_equal(one, two) for one, two in zip(before, after, strict=True))
    expected = given(views[:, 0])
    expected = expected[0] if isinstance(expected, list) else expected["vector"]
    np.testing.assert_allclose(model(views[:, 0]), expected, atol=1e-6)


def test_an_output_of_one_needs_no_name():
    images = keras.Input((4, 4, 3))
    vectors = keras.layers.Dense(8)(keras.layers.Flatten()(images))
    for outputs in ([vectors], {"vector": vectors}):
        model = XSampleModel(keras.Model(images, outputs))
        assert model.encoder.output_shape == (None, 8)
    with pytest.raises(InputError, match="output: expected None"):
        XSampleModel(door.encoder(), output="vector")


class Foreign:
    """Of another Keras, by the name of its module."""


Foreign.__module__ = "tf_keras.src.engine.training"


@pytest.mark.parametrize(
    "make, words",
    [
        (Foreign, "received tf_keras.*another Keras.*TF_USE_LEGACY_KERAS"),
        (lambda: lambda images: images, "received builtins.function.*keras.Layer"),
        (lambda: tf.Module(), "received tensorflow.*does not know"),
        (
            lambda: keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(3, 2)]),
            r"output \(None, 3, 3, 3\); add a pooling layer, .*2D",
        ),
        (
            lambda: keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Reshape((4, 12))]),
            "Pooling1D",
        ),
        (
            lambda: keras.Sequential([keras.Input((3, 8, 8)), keras.layers.Flatten()]),
            r"channels last, received input \(None, 3, 8, 8\)",
        ),
    ],
)
def test_what_is_no_encoder_is_refused_when_the_model_is_made(make, words):
    with pytest.raises(InputError, match=words) as error:
        XSampleModel(make())
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="projector: expected a model or layer of Keras 3"):
        XSampleModel(door.encoder(), lambda x: x)


def test_channels_first_is_refused():
    encoder = door.encoder()
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(InputError, match="channels last, received keras.config"):
            XSampleModel(encoder)
    finally:
        keras.config.set_image_data_format("channels_last")


class Hiding(keras.layers.Layer):
    """Holds a variable in a way that Keras does not see, as a module of TensorFlow Hub would."""

    def __init__(self):
        super().__init__()
        self.hidden = lambda: None
        self.hidden.variable = tf.Variable(tf.ones([6]), name="unseen")

    def call(self, x):
        return x * self.hidden.variable


@pytest.mark.parametrize("size", [None, 4])
def test_a_variable_that_keras_does_not_know_is_named(size):
    model = door.model(made=door.encoder(last=[Hiding()]), microbatch_size=size)
    with pytest.raises(InputError, match="weights that Keras 3 knows, received .*unseen"):
        model.train_on_batch(*door.arrays())


@pytest.mark.parametrize("settings", [{}, {"jit_compile": True}, {"run_eagerly": True}])
def test_microbatches_evaluate_batches_of_any_size(settings):
    views, captions = door.arrays(19)
    ours = door.model(microbatch_size=4, compiled=settings)
    whole = door.model(compiled={"run_eagerly": True})
    data = {"x": views, "y": captions, "batch_size": 8, "verbose": 0, "return_dict": True}
    expected = whole.evaluate(**data)
    for name, value in ours.evaluate(**data).items():  # Batches of 8, 8 and 3.
        assert value == pytest.approx(expected[name], rel=1e-4, abs=1e-5), name
    with pytest.raises(InputError, match="divisor of the 3 images"):
        ours.fit(views, captions, batch_size=8, verbose=0)


@pytest.mark.parametrize("backend, code", [("jax", 1), ("tensorflow", 0)])
def test_another_backend_is_refused_at_import(backend, code, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", "import xsample_tf.errors"],
        env={"KERAS_BACKEND": backend, "PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == code
    if code:
        last = ran.stderr.splitlines()[-1]
        assert "InputError: KERAS_BACKEND: expected tensorflow, received jax" in last
