"""The cross-entropy of class labels, against Keras's."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import door

from xsample_tf.errors import InputError
from xsample_tf.losses import CrossEntropyLoss

LABELS = np.array([2, 0, 1, 2, 3])


def logits(views=2):
    return np.random.default_rng(0).normal(size=(5, views, 4))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("compiled", [False, True])
def test_is_kerass_for_each_view(smoothing, compiled):
    given = tf.constant(logits(3))
    loss = CrossEntropyLoss(smoothing)

    def step(given):
        with tf.GradientTape() as tape:
            tape.watch(given)
            rows, statistics = loss.rows(tf.constant(LABELS), given)
        return rows, statistics["accuracy"], tape.gradient(rows, given)

    rows, accuracy, gradient = (
        tf.function(step, jit_compile=True)(given) if compiled else step(given)
    )
    with tf.GradientTape() as tape:
        tape.watch(given)
        expected = keras.losses.categorical_crossentropy(
            np.repeat(np.eye(4)[LABELS][:, None], 3, axis=1),
            given,
            from_logits=True,
            label_smoothing=smoothing,
        )
        expected = tf.reduce_mean(expected, axis=1)
    np.testing.assert_allclose(rows, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, tape.gradient(expected, given), atol=1e-12)
    right = np.argmax(given, axis=2) == LABELS[:, None]
    np.testing.assert_allclose(accuracy, right.mean(axis=1))
    assert 0 < right.mean() < 1


def test_labels_of_every_form():
    expected = CrossEntropyLoss().rows(LABELS, logits())[0]
    for loss, labels in (
        (CrossEntropyLoss(), LABELS.astype("float32")[:, None]),
        (CrossEntropyLoss(one_hot=True), np.eye(4)[LABELS]),
    ):
        np.testing.assert_array_equal(loss.rows(labels, logits())[0], expected)


def test_a_label_that_is_none_of_the_classes():
    loss = CrossEntropyLoss()
    for label, words in ((4, "from 0 to 3, .*4 classes, received 4"), (-1, "received -1 in row 1")):
        labels = LABELS.copy()
        labels[1] = label
        with pytest.raises(InputError, match=words):
            loss.rows(labels, logits())
        rows, statistics = tf.function(loss.rows)(tf.constant(labels), tf.constant(logits()))
        np.testing.assert_array_equal(np.isnan(rows), np.arange(5) == 1)
        assert np.isfinite(statistics["accuracy"]).all()
    for labels, given, words in (
        (LABELS[:4], logits(), r"one row for each of 5 images, received \(4,\)"),
        (LABELS, logits()[:, 0], r"logits \[B, V, C\].*received \(5, 4\)"),
        (None, logits(), "expected 'label'"),
    ):
        with pytest.raises(InputError, match=words):
            loss.rows(labels, given)
    with pytest.raises(InputError, match="label_smoothing: .*received 1"):
        CrossEntropyLoss(1)


def test_is_a_keras_loss_that_the_model_trains_by():
    loss = CrossEntropyLoss(0.1, name="mine")
    again = keras.saving.deserialize_keras_object(
        json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    )
    assert again.get_config() == loss.get_config()
    weight = np.arange(5.0)
    expected = np.mean(weight * loss.rows(LABELS, logits())[0])
    assert float(again(LABELS, logits(), weight)) == pytest.approx(expected, rel=1e-6)
    views, labels = door.arrays()[0], np.arange(door.ROWS) % 3
    model = door.model(loss, keras.optimizers.Adam(0.05), compiled={"run_eagerly": True})
    data = {"x": views, "y": labels, "verbose": 0}
    history = model.fit(**data, epochs=10, class_weight={0: 2.0}).history
    assert history["accuracy"][-1] > history["accuracy"][0]
    assert history["loss"][-1] < history["loss"][0] / 2 and "kl" not in history
