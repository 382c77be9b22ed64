"""The signatures of one image convert to TFLite from the SavedModel, whatever is beside them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from xsample_tf import evaluation, models, text
from xsample_tf.export import caption_side, export
from xsample_tf.models.serving import TextSide
from xsample_tf.text.tokenizers.padded import RESERVED

SIZE = 16


def small_encoder() -> keras.Model:
    keras.utils.set_random_seed(3)
    image = keras.Input([None, None, 3])
    features = keras.layers.Conv2D(8, 3, activation="relu")(image)
    features = keras.layers.BatchNormalization()(features)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(features))


def dense(inputs: int, outputs: int) -> keras.Model:
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(outputs)])


def two_towers() -> TextSide:
    tokenizer = text.PaddedTokenizer([*RESERVED, "a", "dog"], 6)
    return TextSide(tokenizer, [models.text_tower(6, 6, 16, 1, 2), dense(16, 5)], dense(8, 5))


def mapped():
    random, encoder = np.random.default_rng(0), text.load_encoder("lexical")
    captions = encoder([f"word{number}" for number in range(40)])
    features = random.normal(size=(40, 8)).astype("float32")
    return caption_side(evaluation.fit_caption_map(features, captions), encoder, lambda line: None)


@pytest.mark.parametrize(
    ("side", "outputs"),
    [
        (lambda: None, {"embedding"}),
        # Another 6 s.
        pytest.param(two_towers, {"embedding", "features"}, marks=pytest.mark.slow),
        (mapped, {"embedding", "caption_embedding"}),
    ],
    ids=["encoder", "two towers", "caption map"],
)
def test_an_image_and_its_pixels_are_embedded_as_by_the_savedmodel(side, outputs, tmp_path):
    encoder = small_encoder()
    export(encoder, tmp_path / "export", SIZE, texts=side())
    path = str(tmp_path / "export" / "saved_model")
    model = tf.saved_model.load(path).signatures
    # Each weight is there once.
    stored = tf.train.load_checkpoint(f"{path}/variables/variables").get_variable_to_shape_map()
    assert [shape for shape in stored.values() if shape == [3, 3, 3, 8]] == [[3, 3, 3, 8]]
    pixels = np.random.default_rng(1).integers(0, 256, (1, SIZE, SIZE, 3), np.uint8)
    image = (pixels / 255).astype("float32")
    expected = model["serving_default"](images=tf.constant(image))
    for signature, argument in (
        ("embed_image", {"image": image}),
        ("embed_pixels", {"pixels": pixels}),
    ):
        direct = model[signature](**{name: tf.constant(v) for name, v in argument.items()})
        converter = tf.lite.TFLiteConverter.from_saved_model(path, signature_keys=[signature])
        interpreter = tf.lite.Interpreter(model_content=converter.convert())
        found = interpreter.get_signature_runner(signature)(**argument)
        assert set(found) == set(direct) == outputs
        for name in outputs:
            np.testing.assert_allclose(direct[name], expected[name], atol=1e-5)
            np.testing.assert_allclose(found[name], expected[name], atol=1e-4)
    own = "features" if "features" in outputs else "embedding"
    np.testing.assert_allclose(found[own], encoder(image), atol=1e-4)
