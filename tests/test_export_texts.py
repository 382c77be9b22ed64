"""Exports of two towers: images and strings in one space, by TensorFlow and tensorflow-text."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny_data, tiny_encoder

from xsample_tf import data, evaluation, models, text
from xsample_tf.data import image_files, views
from xsample_tf.evaluation.ranking import text_recall
from xsample_tf.export import export, load
from xsample_tf.models.serving import TextSide
from xsample_tf.text.sentence_transformer import SentenceGraph
from xsample_tf.text.tokenizers.padded import RESERVED

SIZE, WORDS = 8, ["a", "dog", "red", "##s"]
TEXTS = ["a red dog", "dogs", "", "word " * 100, "Ärger \U0001f436"]
# tensorflow-text itself imports Keras.
ALONE = """
import sys

for name in ("keras_cv", "keras_hub", "xsample_tf"):
    sys.modules[name] = None
import json
import numpy as np
import tensorflow as tf
import tensorflow_text

model = tf.saved_model.load(sys.argv[1]).signatures
files = tf.constant([open(path, "rb").read() for path in sys.argv[4:]])
texts = model["embed_text"](tf.constant(json.loads(sys.argv[2])))
assert set(texts) == {"embedding"}
np.savez(sys.argv[3], text=texts["embedding"], **model["embed_jpeg"](files))
"""


def small_encoder():
    keras.utils.set_random_seed(3)
    image = keras.Input([SIZE, SIZE, 3])
    return keras.Model(image, keras.layers.Dense(6)(keras.layers.Flatten()(image)))


def dense(inputs, outputs):
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(outputs)])


# A process of 8 s each.
@pytest.fixture(params=["tokens", pytest.param("frozen", marks=pytest.mark.slow)])
def side(request, tmp_path):
    """The text side, and what of strings it should give before the last projection."""
    keras.utils.set_random_seed(4)
    if request.param == "frozen":
        read = SentenceGraph(str(tiny_encoder.write(tmp_path / "tiny")))
        towers = [dense(read.size, 5)]
    else:
        read = text.PaddedTokenizer([*RESERVED, *WORDS], 6)
        towers = [models.text_tower(8, 6, 16, 1, 2), dense(16, 5)]
    return TextSide(read, towers, dense(6, 5)), read, towers


def unit(rows):
    """Rows of unit length; one of zeros, of a blank text, stays so."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def test_strings_and_files_are_embedded_in_a_fresh_process(side, tmp_path):
    texts, read, towers = side
    encoder = small_encoder()
    export(encoder, tmp_path / "export", SIZE, {"settings": 1}, texts)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 12, 10, 3), np.uint8)
    paths = []
    for number, picture in enumerate(pictures):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(image_files.encode_png(picture))
    (tmp_path / "alone.py").write_text(ALONE)
    command = [sys.executable, tmp_path / "alone.py", tmp_path / "export" / "saved_model"]
    command += [json.dumps(TEXTS), tmp_path / "found.npz", *paths]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "found.npz")
    vectors = read(tf.constant(TEXTS))
    for tower in towers:
        vectors = tower(vectors)
    np.testing.assert_allclose(found["text"], unit(np.array(vectors)), atol=1e-5)
    features = np.concatenate([encoder(views.Evaluation(SIZE)(one)) for one in pictures])
    np.testing.assert_allclose(found["features"], features, atol=1e-5)
    projected = unit(np.array(texts._projector(features)))
    np.testing.assert_allclose(found["embedding"], projected, atol=1e-5)
    # What evaluation and Keras see is the encoder, as without texts.
    exported = load(tmp_path / "export")
    images = np.random.default_rng(1).random((3, SIZE, SIZE, 3)).astype("float32")
    np.testing.assert_allclose(exported(images), encoder(images), atol=1e-6)
    np.testing.assert_allclose(exported.encoder()(images), encoder(images), atol=1e-6)
    assert (exported.card["embedding_size"], exported.card["feature_size"]) == (5, 6)


def test_an_evaluation_of_an_export_has_the_recall_of_its_towers(tmp_path):
    keras.utils.set_random_seed(5)
    read = text.PaddedTokenizer([*RESERVED, "colour", "number", *"012345"], 6)
    side = TextSide(read, [models.text_tower(12, 6, 16, 1, 2), dense(16, 5)], dense(6, 5))
    export(small_encoder(), tmp_path / "export", SIZE, texts=side)
    encoder, directory = load(tmp_path / "export"), tiny_data.write(tmp_path / "data", 12, 30)
    results = evaluation.evaluate(
        encoder,
        directory,
        probes=[],
        image_size=SIZE,
        batch_size=16,
        text_embedder=evaluation.TextEmbedder.of_strings(encoder.model.embed_texts),
        log=lambda line: None,
    )
    images, captions = [], []
    call = tf.saved_model.load(str(tmp_path / "export" / "saved_model")).signatures
    for batch in data.load_images(directory, "val", 30, SIZE, all_captions=True):
        images = call["serving_default"](batch["image"])["embedding"].numpy()
        captions = call["embed_text"](batch["texts"].values)["embedding"].numpy()
    found = text_recall(captions, np.arange(30), images)
    for k, score in found.items():
        assert results["trained"][f"tower_recall_at_{k}"] == pytest.approx(score.value)
    # What is measured otherwise are the features, as of an export without texts.
    features = call["serving_default"](batch["image"])["features"].numpy()
    assert results["trained"]["rankme"] == pytest.approx(evaluation.rankme(features), rel=1e-4)
