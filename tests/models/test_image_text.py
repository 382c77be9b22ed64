"""The model of two towers: its step, by hand, by microbatches, on replicas and compiled."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import door
from helpers.strategies import mirrored

from xsample_tf import graphs, losses, models
from xsample_tf.errors import InputError

FED = {"batch_size": door.ROWS, "shuffle": False, "verbose": 0}
TOKENS = np.random.default_rng(3).integers(1, 9, (door.ROWS, 4)).astype("int32")


def pixels(*rows, **more):
    """As Keras hands arrays on, in float32."""
    return (door.pixels(*rows, **more) / 255).astype("float32")


def captions(*rows):
    return door.captions(*rows).astype("float32")


def dense(inputs, outputs, name):
    return keras.Sequential(
        [keras.Input((inputs,)), keras.layers.Dense(outputs, dtype="float64")], name=name
    )


def text_encoder():
    tokens = keras.Input((4,), dtype="int32")
    table = keras.layers.Embedding(9, 6, dtype="float64")
    return keras.Model(tokens, keras.layers.GlobalAveragePooling1D(dtype="float64")(table(tokens)))


def towers(frozen=False, compiled=None, **arguments):
    """Compiled, in float64, always with the same weights."""
    made = door.encoder("float64")
    keras.utils.set_random_seed(1)
    model = models.ImageTextModel(
        made,
        None if frozen else text_encoder(),
        dense(6, 5, "projector"),
        dense(door.TEXT if frozen else 6, 5, "text_projector"),
        dtype="float64",
        **arguments,
    )
    loss = losses.ImageTextContrastiveLoss(implementation="dense", dtype="float64")
    model.compile(keras.optimizers.SGD(door.RATE), loss, **(compiled or {}))
    return model


def weights_after_a_step(model, side):
    model.fit(pixels(), side, **FED)
    return [np.array(weight) for weight in model.weights]


@pytest.mark.parametrize("views", [1, 2])
def test_the_step_is_the_hand_written_one(views):
    model, twin = towers(), towers()
    images = pixels(views=views)
    scale = tf.Variable(np.log(0.07))
    parts = (twin.encoder, twin.projector, twin.text_encoder, twin.text_projector)
    variables = [weight.value for part in parts for weight in part.trainable_weights]
    with tf.GradientTape() as tape:
        z = twin.projector(twin.encoder(images.reshape(-1, 4, 4, 3)))
        z = tf.math.l2_normalize(tf.reshape(z, [door.ROWS, views, 5]), axis=-1)
        t = tf.math.l2_normalize(twin.text_projector(twin.text_encoder(TOKENS)), axis=-1)
        loss = 0.0
        for view in range(views):
            logits = tf.matmul(z[:, view], t, transpose_b=True) / tf.exp(scale)
            own = tf.range(door.ROWS)
            for side in (logits, tf.transpose(logits)):
                rows = tf.nn.sparse_softmax_cross_entropy_with_logits(own, side)
                loss += tf.reduce_mean(rows) / (2 * views)
    *gradients, by_scale = tape.gradient(loss, [*variables, scale])
    history = model.fit(images, {"tokens": TOKENS}, **FED).history
    assert history["loss"][0] == pytest.approx(float(loss), rel=1e-6)
    assert history["temperature"][0] == pytest.approx(0.07)
    expected = np.log(0.07) - door.RATE * float(by_scale)
    np.testing.assert_allclose(model.log_temperature, expected, atol=1e-9)
    ours = [
        weight
        for part in (model.encoder, model.projector, model.text_encoder, model.text_projector)
        for weight in part.trainable_weights
    ]
    for one, before, gradient in zip(ours, variables, gradients, strict=True):
        step = door.RATE * tf.convert_to_tensor(gradient)
        np.testing.assert_allclose(one, before - step, atol=1e-9)
        assert np.abs(step).max() > 1e-6


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("how", ["microbatches", "replicas", "compiled"])
def test_a_step_in_another_way_is_the_same_step(frozen, how):
    side = {"embedding": captions()} if frozen else {"tokens": TOKENS}
    expected = weights_after_a_step(towers(frozen), side)
    if how == "microbatches":
        ours = weights_after_a_step(towers(frozen, microbatch_size=2), side)
    elif how == "compiled":
        ours = weights_after_a_step(towers(frozen, {"jit_compile": True}), side)
    else:
        with mirrored(2).scope():
            model = towers(frozen)
        data = tf.data.Dataset.from_tensor_slices((pixels(), side)).batch(door.ROWS)
        model.fit(data, verbose=0)
        ours = [np.array(weight) for weight in model.weights]
    for one, two in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-10)


def test_views_and_texts_are_embedded_in_one_space_and_the_model_is_saved(tmp_path):
    model = towers(True, learn_bias=False)
    model.fit(pixels(), captions(), **FED)  # A lone y is the texts.
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    images, texts = pixels(2), captions(2)
    for each in (model, again):
        assert each.embed_views(images).shape == (2, 2, 5)
        assert each.embed_text(texts).shape == (2, 5)
    np.testing.assert_array_equal(again.embed_text(texts), model.embed_text(texts))
    batch = model.embed_batch((images, {"embedding": texts}))
    np.testing.assert_array_equal(batch[:, 2], model.embed_text(texts))
    assert float(again.log_temperature) == float(model.log_temperature)
    score = again.evaluate(images, {"embedding": texts}, return_dict=True, verbose=0)
    assert score["temperature"] == pytest.approx(np.exp(float(model.log_temperature)))


def test_a_vector_that_is_not_finite_counts_as_none():
    images, vectors = pixels(), captions()
    vectors[3] = np.nan
    both = vectors, np.nan_to_num(vectors)
    with pytest.warns(UserWarning, match=f"an image, row 3 of a batch of {door.ROWS}, is NaN"):
        results = [towers(True).fit(images, one, **FED).history["loss"] for one in both]
    assert np.isfinite(results[0]) and results[0] == results[1]


def test_a_target_that_is_hardly_another_than_clip_s_is_warned_of():
    model, graph = towers(True), graphs.CosineGraph()
    soft = losses.ImageTextContrastiveLoss(graph, target_temperature=0.001, dtype="float64")
    model.compile("sgd", soft)
    words = r"own text, outside .* from CLIP's; .*\(graph, captions_of_a_batch, 0.5, sides=2\)"
    with pytest.warns(UserWarning, match=words):
        model.fit(pixels(), captions(), **FED)


def test_the_sigmoid_loss_has_its_bias_learned():
    loss = losses.SigmoidContrastiveLoss(implementation="dense", dtype="float64")
    with pytest.raises(InputError, match="learn_bias: .*SigmoidContrastiveLoss"):
        towers(True, learn_bias=True)  # With the loss of a softmax.
    model = models.ImageTextModel(
        door.encoder("float64"),
        projector=dense(6, 5, "p"),
        text_projector=dense(door.TEXT, 5, "t"),
        learn_bias=True,
        dtype="float64",
    )
    model.compile(keras.optimizers.SGD(0.01), loss)
    history = model.fit(pixels(), captions(), **FED).history
    assert history["bias"] == [-10] and history["temperature"] == [pytest.approx(0.1)]
    assert float(model.bias) != -10


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: models.ImageTextModel(door.encoder(), text_encoder=len), "text_encoder: expected"),
        (
            lambda: models.ImageTextModel(
                door.encoder(), projector=dense(6, 5, "p"), text_projector=dense(4, 3, "t")
            ),
            r"text_projector: expected output \[B, 5\], as of the images, received \[B, 3\]",
        ),
        (
            lambda: models.ImageTextModel(
                door.encoder(), text_encoder(), dense(6, 5, "p"), dense(4, 5, "t")
            ),
            r"text_projector: expected input \[B, 6\], the text encoder's output",
        ),
        (
            lambda: towers().fit(pixels(), {"embedding": captions()}, **FED),
            "expected 'tokens' in the dataset, received embedding|'tokens'",
        ),
    ],
)
def test_towers_and_data_that_do_not_fit_are_named(make, words):
    with pytest.raises(InputError, match=words):
        make()
