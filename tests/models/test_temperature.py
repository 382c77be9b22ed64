"""A temperature that the model learns."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import door
from helpers.strategies import mirrored

from xsample_tf import graphs
from xsample_tf.errors import InputError
from xsample_tf.losses import ImageTextContrastiveLoss, XSampleContrastiveLoss, contrastive_rows
from xsample_tf.models import XSampleModel

FED = {"batch_size": door.ROWS, "shuffle": False, "verbose": 0}


def learned(optimizer=None, temperature=0.1, **compiled):
    loss = XSampleContrastiveLoss(temperature=temperature, implementation="dense", dtype="float64")
    optimizer = optimizer or keras.optimizers.SGD(door.RATE)
    return door.model(loss, optimizer, dtype="float64", learn_temperature=True, compiled=compiled)


def tau(model):
    return float(np.exp(np.array(model.log_temperature)))


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_step_is_the_hand_written_one(replicas):
    views, captions = door.pixels() / 255, door.captions()
    with (mirrored(2) if replicas > 1 else tf.distribute.get_strategy()).scope():
        model = learned()
    twin = door.encoder("float64")
    scale = tf.Variable(np.log(0.1))
    with tf.GradientTape() as tape:
        z = tf.reshape(twin(views.reshape(-1, 4, 4, 3)), [door.ROWS, 2, 6])
        rows, _ = contrastive_rows(z, captions, graphs.CosineGraph(), tf.exp(scale))
        loss = tf.reduce_mean(rows)
    *gradients, by_scale = tape.gradient(loss, [*twin.trainable_variables, scale])
    data = tf.data.Dataset.from_tensor_slices((views, {"embedding": captions})).batch(door.ROWS)
    history = model.fit(data, verbose=0).history
    assert history["temperature"][0] == pytest.approx(0.1, rel=1e-6)  # Of the step's loss.
    assert abs(float(by_scale)) > 1e-3
    expected = np.log(0.1) - door.RATE * float(by_scale)
    np.testing.assert_allclose(np.array(model.log_temperature), expected, atol=1e-9)
    for ours, v, g in zip(model.encoder.weights, twin.trainable_variables, gradients, strict=True):
        np.testing.assert_allclose(np.array(ours), np.array(v) - door.RATE * np.array(g), atol=1e-9)


def test_it_is_saved_and_restored_and_stays_within_its_range(tmp_path):
    views, captions = door.arrays()
    model = learned(keras.optimizers.AdamW(0.05, weight_decay=0.5), run_eagerly=True)
    model.fit(views, captions, epochs=2, **FED)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert tau(again) == tau(model) != pytest.approx(0.1, rel=1e-3)
    model.save_weights(tmp_path / "w.weights.h5")
    other = learned()
    other.load_weights(tmp_path / "w.weights.h5")
    other.compile("sgd", other.loss)  # The loss's own is where it began, and no more.
    assert tau(other) == tau(model)
    for rate in (100.0, -100.0):
        model.compile(keras.optimizers.SGD(abs(rate)), model.loss, run_eagerly=True)
        model.log_temperature.assign(np.log(0.1))
        if rate < 0:
            model.log_temperature.assign(np.log(0.9))
        model.fit(views, captions, epochs=3, **FED)
        assert 0.01 * (1 - 1e-6) <= tau(model) <= 1 + 1e-6


def test_weight_decay_leaves_it_alone():
    model = learned(keras.optimizers.SGD(1e-12, weight_decay=1e11), run_eagerly=True)
    before = float(np.linalg.norm(door.values(model.encoder)[0]))
    model.fit(*door.arrays(), **FED)
    assert float(np.linalg.norm(door.values(model.encoder)[0])) < 0.95 * before
    assert tau(model) == pytest.approx(0.1, rel=1e-6)


def test_the_two_sided_loss_takes_it():
    model = XSampleModel(door.encoder(), learn_temperature=True)
    model.compile(keras.optimizers.SGD(0.1), ImageTextContrastiveLoss(), run_eagerly=True)
    history = model.fit(door.arrays()[0], epochs=2, **FED).history
    assert history["temperature"][0] == pytest.approx(0.07) != history["temperature"][1]


def test_a_loss_with_a_variable_of_its_own_is_refused():
    class Own(XSampleContrastiveLoss):
        scale = tf.Variable(-2.3, name="own_scale")

        def rows(self, side, embeddings):
            return contrastive_rows(embeddings, side, self.graph, tf.exp(self.scale))

    model = door.model(Own())
    with pytest.raises(InputError, match="received own_scale.*learn_temperature=True"):
        model.fit(*door.arrays(), verbose=0)
    with pytest.raises(InputError, match="rows.side, embeddings, temperature.*received Own"):
        door.model(Own(), learn_temperature=True)
    with pytest.raises(InputError, match="expected 0.01 to 1 to learn it from, received 2"):
        learned(temperature=2)
