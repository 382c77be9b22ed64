import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from xsample_tf.data import image_files, views
from xsample_tf.errors import InputError
from xsample_tf.export import export, load
from xsample_tf.models import XSampleModel

SIZE = 16
ALONE = """
import sys

# As if they were not installed; TensorFlow imports keras where it is.
for name in ("keras", "tf_keras", "keras_cv", "keras_hub", "xsample_tf"):
    sys.modules[name] = None
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
files = tf.constant([open(path, "rb").read() for path in sys.argv[3:]])
rows = [model.signatures["embed_jpeg"](files)["embedding"].numpy()]
bad = [b"", b"not an image", files[0].numpy()[:90]]
for jpeg in (tf.stack([bad[0], files[0], bad[1], bad[2], files[1]]), tf.constant(bad)):
    rows.append(model.signatures["embed_jpeg_or_nan"](jpeg)["embedding"].numpy())
np.save(sys.argv[2], np.concatenate(rows))
assert not [name for name in sys.modules if name.startswith(("keras.", "xsample_tf."))]
"""


def make_encoder(dtype="float32") -> keras.Model:
    keras.utils.set_random_seed(3)
    image = keras.Input([None, None, 3])
    features = keras.layers.Rescaling(2.0, offset=-1.0, dtype=dtype)(image)
    features = keras.layers.Conv2D(8, 3, activation="relu", dtype=dtype)(features)
    features = keras.layers.BatchNormalization(dtype=dtype)(features)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D(dtype=dtype)(features))


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[keras.Model, pathlib.Path]:
    encoder, directory = make_encoder(), tmp_path_factory.mktemp("run") / "export"
    export(encoder, directory, SIZE, {"scores": {"kl": 0.5}})
    return encoder, directory


def as_evaluated(encoder, pictures) -> np.ndarray:
    return np.concatenate([encoder(views.Evaluation(SIZE)(picture)) for picture in pictures])


def pictures() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [
        random.integers(0, 256, (*shape, 3), np.uint8) for shape in ((40, 30), (16, 16), (9, 50))
    ]


def test_images_of_any_size_are_embedded_as_in_evaluation(exported):
    encoder, directory = exported
    serve = tf.saved_model.load(str(directory / "saved_model")).signatures["serving_default"]
    for shape in ((40, 30), (16, 30), (5, 7)):
        batch = np.random.default_rng(1).random((3, *shape, 3)).astype(np.float32)
        found = serve(images=tf.constant(batch))["embedding"]
        np.testing.assert_allclose(found, as_evaluated(encoder, batch), atol=1e-5)
        assert found.dtype == tf.float32 and found.shape == (3, 8)


def test_images_that_are_to_size_are_taken_as_they_are(exported):
    encoder, directory = exported
    batch = np.random.default_rng(1).random((5, SIZE, SIZE, 3)).astype(np.float32)
    np.testing.assert_allclose(load(directory)(batch), encoder(batch), atol=1e-6)


def test_files_are_embedded_by_tensorflow_alone_in_a_fresh_process(exported, tmp_path):
    encoder, directory = exported
    paths = []
    for i, picture in enumerate(pictures()):
        paths.append(tmp_path / f"{i}.image")
        jpeg = tf.io.encode_jpeg(picture).numpy()
        paths[-1].write_bytes(jpeg if i else image_files.encode_png(picture))
    (tmp_path / "alone.py").write_text(ALONE)
    command = [sys.executable, "alone.py", directory / "saved_model", "found.npy", *paths]
    subprocess.run(list(map(str, command)), cwd=tmp_path, check=True, capture_output=True)
    decoded = [tf.io.decode_image(path.read_bytes(), channels=3) for path in paths]
    expected = as_evaluated(encoder, decoded)
    found = np.load(tmp_path / "found.npy")
    np.testing.assert_allclose(found[:3], expected, atol=1e-5)
    bad = np.full_like(expected[0], np.nan)
    # Beside files that cannot be decoded, and where none of them can be.
    marked = [bad, expected[0], bad, bad, expected[1], bad, bad, bad]
    np.testing.assert_allclose(found[3:], marked, atol=1e-5)


def test_a_file_that_cannot_be_decoded_fails_the_call(exported):
    model = tf.saved_model.load(str(exported[1] / "saved_model"))
    good = image_files.encode_png(pictures()[0])
    for bad in (b"", b"not an image", good[: len(good) // 2]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            model.signatures["embed_jpeg"](tf.constant([good, bad]))


def test_grey_files_are_embedded(exported):
    model = tf.saved_model.load(str(exported[1] / "saved_model"))
    grey = image_files.encode_png(pictures()[0][:, :, 0])
    assert model.signatures["embed_jpeg"](tf.constant([grey]))["embedding"].shape == (1, 8)


def test_the_card_and_the_weights_stand_beside(exported):
    encoder, directory = exported
    card = json.loads((directory / "model_card.json").read_text())
    assert card["scores"] == {"kl": 0.5} and card["image_size"] == SIZE
    assert card["embedding_size"] == 8 and card["versions"]["tensorflow"] == tf.__version__
    batch = np.random.default_rng(1).random((2, 20, 20, 3)).astype(np.float32)
    np.testing.assert_allclose(load(directory).encoder()(batch), encoder(batch), atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_export_computes_in_float32_whatever_it_was_trained_in(policy, tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        export(make_encoder(policy), tmp_path / "e", SIZE)
        assert keras.config.dtype_policy().name == policy
    finally:
        keras.config.set_dtype_policy(before)
    batch = np.random.default_rng(1).random((4, SIZE, SIZE, 3)).astype(np.float32)
    exported = load(tmp_path / "e")
    expected = make_encoder()(batch)
    np.testing.assert_allclose(exported(batch), expected, atol=1e-6)
    np.testing.assert_allclose(exported.encoder()(batch), expected, atol=1e-6)


def test_the_keras_model_converts_to_tflite(exported, tmp_path):
    """As the guide says; keras.Model.export(format="litert") does the same."""
    encoder, directory = exported
    images = keras.Input([SIZE, SIZE, 3], batch_size=1)
    fixed = keras.Model(images, load(directory).encoder()(images))
    model = XSampleModel(fixed)
    model.export(tmp_path / "model.tflite", format="litert", verbose=False)
    contents = [
        (tmp_path / "model.tflite").read_bytes(),
        tf.lite.TFLiteConverter.from_keras_model(fixed).convert(),
    ]
    batch = np.random.default_rng(1).random((1, SIZE, SIZE, 3)).astype(np.float32)
    for content in contents:
        interpreter = tf.lite.Interpreter(model_content=content)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
        interpreter.invoke()
        found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        np.testing.assert_allclose(found, encoder(batch), atol=1e-5)


def test_an_export_is_replaced_and_nothing_else_is(tmp_path, exported):
    encoder = exported[0]
    export(encoder, tmp_path / "e", SIZE)
    export(encoder, tmp_path / "e", 24)
    assert load(tmp_path / "e").card["image_size"] == 24
    assert [path.name for path in tmp_path.iterdir()] == ["e"]
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("")
    (tmp_path / "file").write_text("")
    for name, received in (("home", "holds 'thesis.txt'"), ("file", "a file")):
        with pytest.raises(InputError, match=f"new directory or an export.*{received}"):
            export(encoder, tmp_path / name, SIZE)


def test_a_failure_leaves_the_old_export_and_no_half_one(tmp_path, exported, monkeypatch):
    encoder = exported[0]
    export(encoder, tmp_path / "e", SIZE)
    with pytest.raises(TypeError):
        export(encoder, tmp_path / "e", 24, {"scores": object()})
    assert load(tmp_path / "e").card["image_size"] == SIZE
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


def test_encoders_of_the_wrong_kind_are_named(tmp_path):
    fixed = keras.Sequential([keras.Input([8, 8, 3]), keras.layers.Flatten()])
    with pytest.raises(InputError, match="image_size"):
        export(fixed, tmp_path / "e", SIZE)
    unpooled = keras.Sequential([keras.Input([None, None, 3]), keras.layers.Conv2D(2, 1)])
    with pytest.raises(InputError, match=r"expected embeddings \[B, D\]"):
        export(unpooled, tmp_path / "e", SIZE)
    assert not list(tmp_path.iterdir())


def test_models_are_found_in_a_savedmodel_an_export_and_a_run(exported):
    directory = exported[1]
    for path in (directory / "saved_model", directory, directory.parent):
        found = load(path)
        assert found.saved_model == directory / "saved_model"
        assert found.card["image_size"] == SIZE and found.encoder() is not None


def test_what_is_no_model_is_one_clear_line(tmp_path, exported):
    other = tf.Module()
    other.double = tf.function(lambda x: {"y": 2 * x}, [tf.TensorSpec([], tf.float32, "x")])
    tf.saved_model.save(other, str(tmp_path / "other"), signatures={"double": other.double})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"\xff\x00 not a model")
    for name, message in (
        ("missing", "which does not exist"),
        ("", "has no SavedModel in it"),
        ("other", r"from images .* to vectors .* received none among double\(x: float32"),
        ("broken", "cannot load the SavedModel"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)
