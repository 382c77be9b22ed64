"""Models of others: called as they want to be, or a line that lists what they have."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny_data

from xsample_tf import evaluation
from xsample_tf.errors import InputError
from xsample_tf.evaluation import ForeignModel
from xsample_tf.export import load
from xsample_tf.models import XSampleModel

SIZE, D = 16, 8
F32, BF16, F16, U8 = tf.float32, tf.bfloat16, tf.float16, tf.uint8
IMAGES = np.random.default_rng(0).integers(0, 256, (7, SIZE, SIZE, 3), np.uint8)
PIXELS = (IMAGES / 255).astype(np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=(3, D)).astype(np.float32)


def vectors(images):
    """`[B, D]` of images in [0, 1]."""
    return tf.reduce_mean(tf.cast(images, F32), [1, 2]) @ WEIGHTS


def shape(batch=None, side=SIZE):
    return [batch, side, side, 3]


class Made(tf.Module):
    """What someone saved: functions of tensors whose names, dtypes and shapes are given."""

    def __init__(self, **functions):
        super().__init__()
        for name, (specs, body) in functions.items():
            given = [tf.TensorSpec(*spec[1:], name=spec[0]) for spec in specs]
            setattr(self, f"f_{name}", tf.function(body, input_signature=given))

    def saved(self, path):
        names = [name for name in vars(self) if name.startswith("f_")]
        signatures = {name.removeprefix("f_"): getattr(self, name) for name in names}
        tf.saved_model.save(self, str(path), signatures=signatures)
        return path


def one(shape, dtype=F32, body=vectors, input="pixels", output="vector", name="serving_default"):
    return {name: ([(input, shape, dtype)], lambda images: {output: body(images)})}


def half(dtype):
    return lambda images: tf.cast(vectors(images), dtype)


# What was saved, and what has to be said of it.
KINDS = {
    "other names": (one(shape(), name="embed"), {}),
    "another range": (one(shape(), body=lambda x: vectors((x + 1) / 2)), {"input_range": (-1, 1)}),
    "uint8": (one(shape(), U8, lambda x: vectors(tf.cast(x, F32) / 255)), {}),
    "int32": (one(shape(), tf.int32, lambda x: vectors(tf.cast(x, F32) / 255)), {}),
    "int8": (
        one(shape(), tf.int8, lambda x: vectors((tf.cast(x, F32) + 128) / 255)),
        {"input_range": (-128, 127)},
    ),
    "bfloat16": (one(shape(), BF16, half(BF16)), {}),
    "float16": (one(shape(), F16, half(F16)), {}),
    "channels first": (
        one([None, 3, SIZE, SIZE], body=lambda x: vectors(tf.transpose(x, [0, 2, 3, 1]))),
        {},
    ),
    "channels first of any size": (
        one([None, 3, None, None], body=lambda x: vectors(tf.transpose(x, [0, 2, 3, 1]))),
        {},
    ),
    "any size": (one(shape(side=None)), {}),
    "any shape": (one(None, body=lambda x: vectors(tf.ensure_shape(x, shape()))), {}),
    "batches of 1": (one(shape(1)), {}),
    "batches of 4": (one(shape(4)), {}),
    "[B, 1, 1, D]": (one(shape(), body=lambda x: vectors(x)[:, None, None]), {}),
    "two outputs": (
        {
            "serving_default": (
                [("x", shape(), F32)],
                lambda x: {"a": vectors(x), "b": -vectors(x), "tokens": x[:, 0]},
            )
        },
        {"output": "a"},
    ),
    "one of two is the embedding": (
        {
            "serving_default": (
                [("x", shape(), F32)],
                lambda x: {"embedding": vectors(x), "logits": -vectors(x)},
            )
        },
        {},
    ),
    "two signatures": (
        one(shape(), name="first") | one(shape(), body=lambda x: -vectors(x), name="second"),
        {"signature": "first"},
    ),
    "the default one of two": (
        one(shape()) | one(shape(), body=lambda x: -vectors(x), name="second"),
        {},
    ),
    "beside files": (
        one(shape())
        | {"embed_jpeg": ([("jpeg", [None], tf.string)], lambda jpeg: {"n": tf.size(jpeg)})},
        {},
    ),
    "a switch": (
        {
            "serving_default": (
                [("x", shape(), F32), ("training", [], tf.bool)],
                lambda x, training: {"y": tf.where(training, 0.0, vectors(x))},
            )
        },
        {},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_vectors_of_the_plain_model(kind, tmp_path):
    functions, said = KINDS[kind]
    encoder = load(Made(**functions).saved(tmp_path / "model"), **said)
    found = encoder(PIXELS)
    expected = vectors(PIXELS).numpy()
    # Half precision has 8 and 11 bits.
    rounding = {"bfloat16": 2**-6, "float16": 2**-9}.get(kind, 1e-5)
    assert found.dtype == F32 and found.shape == (7, D)
    np.testing.assert_allclose(found, expected, atol=rounding)
    fixed = None if "any" in kind else SIZE
    assert encoder.input_shape == (None, fixed, fixed, 3)


class Callable(tf.Module):
    """As of TF-Hub: called itself, without signatures."""

    @tf.function
    def __call__(self, images, training=False):
        return -vectors(images) if training else vectors(images)


@pytest.mark.parametrize("order", [(True, False), (False, True)])
def test_a_model_without_signatures_is_called(order, tmp_path):
    model = Callable()
    for training in order:
        model.__call__.get_concrete_function(tf.TensorSpec(shape(), F32), training)
    tf.saved_model.save(model, str(tmp_path / "model"))
    np.testing.assert_allclose(load(tmp_path / "model")(PIXELS), vectors(PIXELS), atol=1e-5)


def functional(images=None, range_=(), dtype="float32"):
    keras.utils.set_random_seed(0)
    images = images or keras.Input(shape()[1:], name="photo", dtype=dtype)
    x = keras.layers.Rescaling(*range_)(images) if range_ else images
    return images, keras.layers.Dense(D, name="vector")(keras.layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize("signature", [None, "serve", "serving_default"])
def test_kerass_own_export_is_taken(signature, tmp_path):
    model = keras.Model(*functional())
    model.export(tmp_path / "model", verbose=False)
    encoder = load(tmp_path / "model", signature)
    assert encoder.model.choice.signature.name == (signature or "serving_default")
    np.testing.assert_allclose(encoder(PIXELS), model(PIXELS), atol=1e-5)


def test_a_keras_file_is_taken_with_the_range_that_it_divides_itself(tmp_path):
    keras.Model(*functional()).save(tmp_path / "plain.keras")
    expected = load(tmp_path / "plain.keras")(PIXELS)
    np.testing.assert_allclose(expected, keras.Model(*functional())(PIXELS), atol=1e-6)
    for divisor in ((1 / 255,), (1 / 127.5, -1)):
        model = keras.Model(*functional(range_=divisor))
        model.save(tmp_path / "dividing.keras")
        encoder = load(tmp_path / "dividing.keras")
        assert encoder.model.input_range == (0, 255)
        np.testing.assert_allclose(encoder(PIXELS), model(255 * PIXELS), atol=1e-5)
    encoder = load(tmp_path / "dividing.keras", input_range=(0, 1))
    np.testing.assert_allclose(encoder(PIXELS), model(PIXELS), atol=1e-5)


def test_an_x_sample_model_is_taken_with_its_range(tmp_path):
    model = XSampleModel(keras.Model(*functional()), input_range=(-1, 1))
    model.save(tmp_path / "model.keras")
    expected = model(2 * PIXELS - 1)
    np.testing.assert_allclose(load(tmp_path / "model.keras")(PIXELS), expected, atol=1e-5)


def test_a_keras_model_of_several_towers_is_cut_to_one(tmp_path):
    photo, vector = functional()
    text = keras.Input([4], name="text")
    words = keras.layers.Dense(D, name="words")(text)
    both = keras.layers.Add(name="both")([vector, words])
    outputs = {"vector": vector, "words": words, "both": both}
    keras.Model({"photo": photo, "text": text}, outputs).save(tmp_path / "towers.keras")
    encoder = load(tmp_path / "towers.keras", output="vector")
    np.testing.assert_allclose(encoder(PIXELS), keras.Model(photo, vector)(PIXELS), atol=1e-5)
    with pytest.raises(InputError, match="several that would do among __call__.photo: .* text: "):
        load(tmp_path / "towers.keras")
    with pytest.raises(InputError, match="output: .*'photo' alone decides, received 'both'"):
        load(tmp_path / "towers.keras", output="both")


def test_a_subclassed_keras_model_is_taken(tmp_path):
    @keras.saving.register_keras_serializable("tests")
    class Subclassed(keras.Model):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.pool, self.dense = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(D)

        def call(self, images):
            return self.dense(self.pool(images))

    model = Subclassed()
    expected = model(PIXELS)
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(load(tmp_path / "model.keras")(PIXELS), expected, atol=1e-5)


NOTHING = "serving_default(x: float32 [None, 16, 16, 4]) -> y: float32 [None, 4]"
REFUSED = {
    "no images": (
        {"serving_default": ([("x", shape()[:3] + [4], F32)], lambda x: {"y": x[:, 0, 0]})},
        {},
        f"received none among {NOTHING}; choose by --signature, --input, --output_name and "
        "--input_range",
    ),
    "no vectors": (
        one(shape(), body=lambda x: tf.zeros([5]) + x[..., :1]),
        {},
        "received none among serving_default(pixels: float32 [None, 16, 16, 3]) -> "
        "vector: float32 [None, 16, 16, 5]",
    ),
    "several outputs": (
        {"serve": ([("x", shape(), U8)], lambda x: {"a": vectors(x), "b": vectors(x)})},
        {},
        "several that would do among serve(x: uint8 [None, 16, 16, 3]) -> a: float32 [None, 8], "
        "b: float32 [None, 8];",
    ),
    "several signatures": (
        one(shape(), name="first") | one(shape(), BF16, name="second"),
        {},
        "first(pixels: float32 [None, 16, 16, 3]) -> vector: float32 [None, 8]; "
        "second(pixels: bfloat16 [None, 16, 16, 3])",
    ),
    "another input": (
        {
            "serving_default": (
                [("x", shape(), F32), ("mask", [None, 4], F32)],
                lambda x, mask: {"y": vectors(x) + mask[:, :1]},
            )
        },
        {"input": "x"},
        "received none among serving_default(mask: float32 [None, 4], x: float32",
    ),
    "signature": (one(shape()), {"signature": "serving"}, "signature: received 'serving', did you"),
    "input": (one(shape()), {"input": "pixel"}, "did you mean 'pixels'?"),
    "output": (one(shape()), {"output": "vectors"}, "did you mean 'vector'?"),
    "range": (one(shape()), {"input_range": (1, 0)}, "input_range: expected (lowest, highest)"),
    "range of uint8": (
        one(shape(), U8),
        {"input_range": (-1, 1)},
        "input_range: expected 256 values or more of uint8, as 0,255, received -1,1",
    ),
    "int8": (one(shape(), tf.int8), {}, "input_range: expected the range of pixels: int8"),
    "not square": (one([None, 8, 9, 3]), {}, "square images, received pixels: float32 [None, 8, 9"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_plain_is_one_line(kind, tmp_path):
    functions, said, words = REFUSED[kind]
    path = Made(**functions).saved(tmp_path / "model")
    with pytest.raises(InputError) as error:
        load(path, **said)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_model_that_fails_is_one_line(tmp_path):
    functions = one(shape(side=None), body=lambda x: vectors(tf.reshape(x, [-1, 9, 9, 3])))
    encoder = load(Made(**functions).saved(tmp_path / "model"))
    with pytest.raises(InputError, match=r"fails on images \(7, 16, 16, 3\)") as error:
        encoder(PIXELS)
    assert "\n" not in str(error.value)


def test_evaluate_takes_what_tensorflow_loads_and_names_what_it_cannot(data_dir, tmp_path):
    Made(**one(shape(4))).saved(tmp_path / "model")
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    arguments = {"probes": ["knn"], "limit": 10, "log": lambda line: None}
    found = evaluation.evaluate(loaded, data_dir, **arguments)
    plain = evaluation.evaluate(vectors, data_dir, image_size=SIZE, **arguments)
    assert found["meta"]["image_size"] == SIZE
    assert found["trained"] == pytest.approx(plain["trained"], abs=1e-5)
    with pytest.raises(InputError, match="image_size: expected 16, received 32"):
        evaluation.evaluate(ForeignModel(loaded), data_dir, image_size=32, **arguments)
    with pytest.raises(InputError, match=r"received str; open a path by xsample_tf.export.load"):
        evaluation.evaluate("runs/first", data_dir, **arguments)


@pytest.mark.slow  # Two processes import TensorFlow.
def test_the_tool_says_what_it_chose(repository, tmp_path):
    body = KINDS["uint8"][0]["serving_default"][1]
    photo = ("photo", [2, SIZE, SIZE, 3], U8)
    embed = ([photo], lambda x: {"a": body(x)["vector"], "b": tf.zeros([])})
    Made(embed=embed, other=([photo], body)).saved(tmp_path / "model")
    data = tiny_data.write(tmp_path / "data", train=12, val=7)
    flags = [f"--model={tmp_path / 'model'}", f"--data_dir={data}", f"--output={tmp_path / 'out'}"]
    chosen = ["--signature=embed", "--input=photo", "--output_name=a", "--input_range=0,255"]
    done = run_tool(repository, *flags, *chosen)
    assert done.returncode == 0, done.stderr
    assert (
        "model: signature embed; input photo: uint8 [2, 16, 16, 3]; pixels from 0 to 255; images "
        "of 16 pixels; 2 at a time; output a: float32 [2, 8]"
    ) in done.stdout
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["trained"]["knn_top1"] > 0.5 and "untrained" not in results
    done = run_tool(repository, *flags, "--signature=embd")
    assert done.returncode == 2
    assert "signature: received 'embd', did you mean 'embed'" in done.stderr


def run_tool(repository, *flags):
    command = [sys.executable, str(repository / "tools" / "evaluate.py"), *flags]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_model_of_two_towers_embeds_texts(tmp_path):
    def lengths(texts):
        return {"embedding": tf.cast(tf.strings.length(texts), F32)[:, None] * WEIGHTS[:1]}

    embed_text = {"embed_text": ([("texts", [None], tf.string)], lengths)}
    path = Made(**one(shape()), **embed_text).saved(tmp_path / "both")
    model = load(path).model
    np.testing.assert_allclose(model.embed_texts(["ab", "abc"]), [[2], [3]] * WEIGHTS[:1])
    alone = Made(**one(shape())).saved(tmp_path / "images")
    assert load(alone).model.embed_texts is None
