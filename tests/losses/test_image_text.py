"""The two-sided loss of images and texts against brute force."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import reference
from helpers.loss_values import COSINE, assert_agrees, evaluate

from xsample_tf import graphs
from xsample_tf.errors import InputError
from xsample_tf.losses import ImageTextContrastiveLoss, image_text_rows


@pytest.mark.parametrize("form", [{"implementation": "dense"}, {"implementation": "tiled"}])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("tau, known", [(0.07, True), (0.01, True), (0.3, False)])
def test_agrees_with_brute_force(form, soft, tau, known):
    random = np.random.default_rng(0)
    pairs, captions = random.normal(size=(7, 2, 5)), random.normal(size=(7, 6))
    weight = random.uniform(size=7)
    similarity = reference.unit(captions) @ reference.unit(captions).T if soft else np.eye(7)
    tau_s = 0.1 if soft else 0.0
    expected = reference.loss(pairs, similarity, tau, tau_s, weight=weight, sides=2)
    graph, side = (COSINE, captions) if soft else (graphs.InstanceGraph(), None)
    form = form | ({"tile_size": 3} if form["implementation"] == "tiled" else {})
    ours = evaluate(pairs, side, graph, tau, weight, sides=2, known=known, **form)
    assert_agrees(ours, expected, 1e-10, tau)


@pytest.mark.parametrize("form", [{"implementation": "dense"}, {"implementation": "tiled"}])
def test_each_view_meets_the_text_by_itself(form):
    random = np.random.default_rng(6)
    z, captions = random.normal(size=(7, 4, 5)), random.normal(size=(7, 6))
    similarity = reference.unit(captions) @ reference.unit(captions).T
    weight = random.uniform(size=7)
    pairs = [
        reference.loss(z[:, [view, 3]], similarity, 0.3, 0.1, weight=weight, sides=2)
        for view in range(3)
    ]
    expected = {name: np.mean([one[name] for one in pairs], axis=0) for name in pairs[0]}
    gradients = [one["gradient"] / 3 for one in pairs]
    texts = sum(gradient[:, 1] for gradient in gradients)
    expected["gradient"] = np.stack([*(gradient[:, 0] for gradient in gradients), texts], axis=1)
    ours = evaluate(z, captions, COSINE, 0.3, weight, sides=2, **form)
    assert_agrees(ours, expected, 1e-10, 0.3)
    one = evaluate(z[:, [0, 3]], captions, COSINE, 0.3, sides=2, **form)
    twice = evaluate(z[:, [0, 0, 3]], captions, COSINE, 0.3, sides=2, **form)
    np.testing.assert_allclose(twice["loss"], one["loss"], rtol=1e-14)


def test_temperature_is_learned_like_clips():
    random = np.random.default_rng(1)
    images = random.normal(size=(64, 8)).astype(np.float32)
    pairs = tf.constant(np.stack([images, images + 0.1 * random.normal(size=(64, 8))], axis=1))
    pairs = tf.cast(pairs, tf.float32)
    log_scale = tf.Variable(float(np.log(1 / 0.07)))
    optimizer = keras.optimizers.Adam(0.1)
    for _ in range(10):
        with tf.GradientTape() as tape:
            temperature = 1 / tf.exp(tf.minimum(log_scale, np.log(100)))
            loss, _ = image_text_rows(pairs, None, graphs.InstanceGraph(), temperature)
            loss = tf.reduce_mean(loss)
        optimizer.apply([tape.gradient(loss, log_scale)], [log_scale])
    assert float(log_scale) > np.log(1 / 0.07) + 0.3  # The pairs are easy to tell apart.


def test_is_a_keras_loss():
    loss = ImageTextContrastiveLoss(COSINE, target_temperature=0.2, tile_size=3)
    random = np.random.default_rng(2)
    pairs = tf.constant(random.normal(size=(5, 2, 4)), tf.float32)
    captions = tf.constant(random.normal(size=(5, 6)), tf.float32)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert float(loss(captions, pairs)) == float(again(captions, pairs))
    weight = tf.constant([0.0, 1, 2, 0, 1])
    rows = image_text_rows(pairs, captions, COSINE, 0.07, 0.2)[0]
    expected = np.mean(weight * rows)
    np.testing.assert_allclose(loss(captions, pairs, sample_weight=weight), expected, rtol=1e-5)


def test_other_shapes_are_named():
    with pytest.raises(InputError, match=r"\[B, V \+ 1, D\].*text, received \(4, 1, 8\)"):
        ImageTextContrastiveLoss()(tf.zeros([4]), tf.ones([4, 1, 8]))
    with pytest.raises(InputError, match="at least 2 images"):
        ImageTextContrastiveLoss()(tf.zeros([1]), tf.ones([1, 2, 8]))
