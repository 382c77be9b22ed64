"""The model's step against the same step written out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from xsample_tf import graphs
from xsample_tf.errors import InputError
from xsample_tf.losses import XSampleContrastiveLoss, contrastive_rows
from xsample_tf.models.contrastive import XSampleModel

BATCH, SIZE, TEXT = 8, 8, 5


def tiny_encoder(regularizer=None):
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Conv2D(6, 3, kernel_regularizer=regularizer),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
        ],
        name="encoder",
    )


def tiny_model(loss=None, optimizer=None, **arguments):
    keras.utils.set_random_seed(0)
    projector = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)], name="projector")
    model = XSampleModel(tiny_encoder(**arguments), projector)
    model.compile(optimizer or keras.optimizers.SGD(0.1), loss or XSampleContrastiveLoss())
    return model


def batch(views=2, seed=0):
    random = np.random.default_rng(seed)
    # Colours that differ from image to image keep batch statistics well away from rounding.
    colors = random.random((BATCH, 1, 1, 1, 3))
    images = 0.2 * random.random((BATCH, views, SIZE, SIZE, 3)) + 0.8 * colors
    images = images.astype(np.float32)
    side = {
        "embedding": random.normal(size=(BATCH, TEXT)).astype(np.float32),
        "label": np.arange(BATCH, dtype=np.int32) % 3,
        "substituted": np.arange(BATCH) < 2,
    }
    return images, side


def dataset(repeat=4, **arguments):
    return tf.data.Dataset.from_tensors(batch(**arguments)).repeat(repeat)


@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_is_the_hand_written_step(views, weighted):
    images, side = batch(views)
    weight = np.linspace(0, 2, BATCH).astype(np.float32)
    model, twin = tiny_model(), tiny_model()
    data = (images, side, weight) if weighted else (images, side)
    logs = model.fit(tf.data.Dataset.from_tensors(data), verbose=0).history

    with tf.GradientTape() as tape:
        # One forward pass over all views, so that batch statistics are those of all of them.
        flat = twin.encoder(images.reshape(-1, SIZE, SIZE, 3), training=True)
        z = tf.reshape(twin.projector(flat), [BATCH, views, 4])
        rows, statistics = contrastive_rows(z, side["embedding"], graphs.CosineGraph())
        loss = tf.reduce_mean(rows * weight if weighted else rows)
    gradients = tape.gradient(loss, twin.trainable_variables)
    for ours, value, gradient in zip(
        model.trainable_variables, twin.trainable_variables, gradients, strict=True
    ):
        np.testing.assert_allclose(ours, value - 0.1 * gradient, atol=1e-5)
    for ours, value in zip(
        model.non_trainable_variables, twin.non_trainable_variables, strict=True
    ):
        np.testing.assert_allclose(ours, value, atol=1e-6)
    assert logs["loss"][0] == pytest.approx(float(loss), rel=1e-5)
    kl = float(tf.reduce_mean(rows - statistics["target_entropy"]))
    assert logs["kl"][0] == pytest.approx(kl, rel=1e-4)
    assert logs["substituted"][0] == pytest.approx(2 / BATCH)


@pytest.mark.parametrize(
    "graph",
    [
        graphs.CosineGraph(),
        graphs.LabelGraph(),
        graphs.InstanceGraph(),
        graphs.ClassGraph(np.eye(3)),
    ],
)
def test_every_graph_trains_on_the_same_dataset(graph):
    model = tiny_model(XSampleContrastiveLoss(graph), keras.optimizers.Adam(0.02))
    history = model.fit(dataset(repeat=None), steps_per_epoch=10, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert min(history["kl"]) > -1e-4


@pytest.mark.parametrize("arguments", [{"run_eagerly": True}, {"steps_per_execution": 2}])
def test_execution_modes_agree(arguments):
    plain, other = tiny_model(), tiny_model()
    other.compile(keras.optimizers.SGD(0.1), XSampleContrastiveLoss(), **arguments)
    for model in (plain, other):
        model.fit(dataset(), verbose=0)
    for one, two in zip(plain.weights, other.weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_xla_agrees():
    plain, compiled = tiny_model(), tiny_model()
    compiled.compile(keras.optimizers.SGD(0.1), XSampleContrastiveLoss(), jit_compile=True)
    for model in (plain, compiled):
        model.fit(dataset(), verbose=0)
    for one, two in zip(plain.weights, compiled.weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_evaluate_reports_the_loss_without_training():
    model = tiny_model()
    before = [np.array(weight) for weight in model.weights]
    scores = model.evaluate(dataset(1), return_dict=True, verbose=0)
    images, side = batch()
    z = model.embed_views(tf.constant(images))
    rows, _ = contrastive_rows(z, side["embedding"], graphs.CosineGraph())
    assert scores["loss"] == pytest.approx(float(tf.reduce_mean(rows)), rel=1e-5)
    for one, two in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_calling_and_predicting_give_the_encoders_output():
    model = tiny_model()
    images = batch()[0][:, 0]
    expected = model.encoder(images)
    np.testing.assert_array_equal(model(images), expected)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-6)


def test_regularisers_count():
    plain, regular = tiny_model(), tiny_model(regularizer=keras.regularizers.L2(0.1))
    kernel = plain.encoder.layers[0].kernel
    penalty = 0.1 * float(tf.reduce_sum(tf.square(kernel)))
    losses = [m.evaluate(dataset(1), return_dict=True, verbose=0)["loss"] for m in (plain, regular)]
    assert losses[1] - losses[0] == pytest.approx(penalty, rel=1e-4)


def test_bfloat16_follows_float32():
    plain = tiny_model()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = tiny_model()
    finally:
        keras.config.set_dtype_policy("float32")
    losses = [m.fit(dataset(), verbose=0).history["loss"][0] for m in (plain, mixed)]
    # bfloat16 has 8 bits: that is the error of a cosine, which the temperature divides.
    assert losses[0] == pytest.approx(losses[1], abs=2**-8 / 0.1)


def test_saves_and_loads_as_keras(tmp_path):
    model = tiny_model()
    model.fit(dataset(1), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    images = batch()[0][:, 0]
    np.testing.assert_array_equal(model(images), again(images))
    again.fit(dataset(1), verbose=0)


def test_encoder_alone_trains_without_a_projector():
    model = XSampleModel(tiny_encoder())
    model.compile(keras.optimizers.Adam(0.01), XSampleContrastiveLoss())
    assert np.isfinite(model.fit(dataset(), verbose=0).history["loss"][0])


def test_input_that_does_not_fit_is_named():
    images, side = batch()
    with pytest.raises(InputError, match="built Keras model"):
        XSampleModel(keras.Sequential([keras.layers.Dense(3)]))
    with pytest.raises(InputError, match=r"one vector an image"):
        XSampleModel(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 3)]))
    with pytest.raises(InputError, match=r"projector: expected input \[B, 6\]"):
        XSampleModel(tiny_encoder(), keras.Sequential([keras.Input((7,)), keras.layers.Dense(3)]))
    model = XSampleModel(tiny_encoder())
    model.compile("sgd", loss="mse")
    with pytest.raises(InputError, match="XSampleContrastiveLoss"):
        model.fit(dataset(), verbose=0)
    model.compile("sgd", loss=XSampleContrastiveLoss(reduction="sum"))
    with pytest.raises(InputError, match="default reduction"):
        model.fit(dataset(), verbose=0)
    model = tiny_model()
    with pytest.raises(InputError, match=r"images \[B, H, W, 3\]"):
        model(images)
    with pytest.raises(InputError, match=r"views \[B, V, H, W, 3\]"):
        model.train_on_batch(images[:, 0], side["embedding"])
    model = tiny_model(XSampleContrastiveLoss(graphs.LabelGraph()))
    del side["label"]
    with pytest.raises(InputError, match="'label' in the dataset, received embedding"):
        model.fit(tf.data.Dataset.from_tensors((images, side)), verbose=0)
