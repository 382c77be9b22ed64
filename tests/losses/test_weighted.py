"""A weighted sum of losses: one forward pass, each member as it would be alone."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import door
from helpers.strategies import mirrored

from xsample_tf import graphs
from xsample_tf.errors import InputError
from xsample_tf.losses import (
    CrossEntropyLoss,
    ImageTextContrastiveLoss,
    SigmoidContrastiveLoss,
    WeightedLosses,
    XSampleContrastiveLoss,
)


def data():
    random = np.random.default_rng(0)
    return random.normal(size=(6, 3, 5)), random.normal(size=(6, 4))


def gradients(function, *sources):
    sources = [tf.constant(source, tf.float64) for source in sources]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        rows, statistics = function(*sources)
    return rows, statistics, tape.gradient(rows, sources)


def test_the_sum_is_that_of_the_members_alone():
    z, captions = data()
    views, pairs = XSampleContrastiveLoss(), ImageTextContrastiveLoss()
    loss = WeightedLosses([views, pairs], [1, 0.5])
    assert (loss.sides, loss.features) == (2, "embedding")
    rows, statistics, (by_z, by_tau) = gradients(lambda z, tau: loss.rows(captions, z, tau), z, 0.2)
    first, of_first, (by_views,) = gradients(lambda z: views.rows(captions, z), z[:, :2])
    second, of_second, (by_pairs, by_temperature) = gradients(
        lambda z, tau: pairs.rows(None, z, tau), z, 0.2
    )
    np.testing.assert_allclose(rows, first + 0.5 * second, rtol=1e-12)
    expected = 0.5 * by_pairs + np.pad(by_views, [(0, 0), (0, 1), (0, 0)])
    np.testing.assert_allclose(by_z, expected, atol=1e-12)
    # The image-image loss keeps its own.
    np.testing.assert_allclose(by_tau, 0.5 * by_temperature, rtol=1e-12)
    for name, one, own in (
        ("x_sample_contrastive", first, of_first),
        ("image_text_contrastive", second, of_second),
    ):
        np.testing.assert_allclose(statistics[f"{name}_loss"], one, rtol=1e-12)
        for statistic, value in own.items():
            np.testing.assert_allclose(statistics[f"{name}_{statistic}"], value, rtol=1e-12)
        np.testing.assert_allclose(statistics[f"{name}_kl"], one - own["target_entropy"])
    assert statistics.keys() == set(loss.statistics)


def test_statistics_of_one_member_alone_keep_their_names():
    views = XSampleContrastiveLoss(name="views")
    loss = WeightedLosses([views, SigmoidContrastiveLoss(name="text")])
    assert loss.statistics == (
        *("views_loss", "kl", "target_entropy", "effective_positives", "own_mass"),
        *("views_alignment", "uniformity", "text_loss", "text_alignment", "own_probability"),
    )
    z, captions = data()
    _, statistics = loss.rows(captions, z)
    rows, own = views.rows(captions, z[:, :2])
    np.testing.assert_allclose(statistics["kl"], rows - own["target_entropy"], rtol=1e-12)


def test_members_of_one_side_learn_the_temperature_together():
    z, captions = data()
    members = [XSampleContrastiveLoss(), XSampleContrastiveLoss(graphs.InstanceGraph(), name="own")]
    loss = WeightedLosses(members)
    assert (loss.sides, loss.temperature) == (1, 0.1)
    _, _, (by_tau,) = gradients(lambda tau: loss.rows(captions, z, tau), 0.2)
    expected = 0
    for member, side in zip(members, (captions, None), strict=True):
        expected += gradients(lambda tau: member.rows(side, z, tau), 0.2)[2][0]  # noqa: B023
    np.testing.assert_allclose(by_tau, expected, rtol=1e-12)


class BothGraph(graphs.SimilarityGraph):
    """Needs two features."""

    features = ("embedding", "label")


def test_each_member_gets_the_side_information_that_it_needs():
    z, captions = data()
    labels = np.array([0, 1, 0, 2, 2, 1])
    members = [XSampleContrastiveLoss(), XSampleContrastiveLoss(graphs.LabelGraph(), name="labels")]
    loss = WeightedLosses([*members, ImageTextContrastiveLoss()])
    assert loss.features == ("embedding", "label")
    rows, _ = loss.rows({"embedding": captions, "label": labels}, z)
    alone = [members[0].rows(captions, z[:, :2]), members[1].rows(labels, z[:, :2])]
    alone.append(ImageTextContrastiveLoss().rows(None, z))
    np.testing.assert_allclose(rows, sum(one for one, _ in alone), rtol=1e-12)
    assert WeightedLosses([SigmoidContrastiveLoss()]).features == "index"
    both = WeightedLosses([XSampleContrastiveLoss(BothGraph()), CrossEntropyLoss()])
    assert both.features == ("embedding", "label")


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_model_trains_by_it(replicas):
    views = door.arrays()[0]
    views = np.concatenate([views, views[:, :1]], axis=1)  # Where a text tower's output would be.
    dataset = tf.data.Dataset.from_tensor_slices((views, door.captions().astype("float32")))
    with (mirrored(2) if replicas > 1 else tf.distribute.get_strategy()).scope():
        loss = WeightedLosses([XSampleContrastiveLoss(), SigmoidContrastiveLoss()], [1, 0.25])
        model = door.model(loss, learn_temperature=True, learn_bias=True)
    z = model.embed_views(views)
    rows, statistics = loss.rows(door.captions().astype("float32"), z)
    history = model.fit(dataset.batch(door.ROWS), verbose=0).history
    assert history["loss"][0] == pytest.approx(float(np.mean(rows)), rel=1e-5)
    assert history["kl"][0] == pytest.approx(float(np.mean(statistics["kl"])), rel=1e-4)
    assert (history["temperature"][0], history["bias"][0]) == pytest.approx((0.1, -10))
    assert float(np.array(model.bias)) > -10


def test_is_a_keras_loss():
    z, captions = data()
    labels = XSampleContrastiveLoss(graphs.LabelGraph(), name="labels")
    for loss, side in (
        (WeightedLosses([XSampleContrastiveLoss(), ImageTextContrastiveLoss()], [1, 2]), captions),
        (WeightedLosses([labels], name="mine"), np.arange(6) % 2),
    ):
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
        again = keras.saving.deserialize_keras_object(config)
        assert again.get_config() == loss.get_config()
        assert float(again(side, z)) == float(loss(side, z))


def test_what_does_not_fit_is_named():
    one, two = XSampleContrastiveLoss(), ImageTextContrastiveLoss()
    for arguments, words in (
        (([],), "losses: expected a list of losses"),
        ((["mse"],), "losses: expected a list of losses.*'mse'"),
        (([one, one],), "names of their own, received x_sample_contrastive, x_sample_contrastive"),
        (([one, two], [1]), r"weights: expected 2 numbers from 0, .*received \[1\]"),
        (([one, two], [1, -1]), "weights: .*-1"),
        (([one, two], [0, 0]), "weights: expected 2 numbers from 0, not all 0"),
    ):
        with pytest.raises(InputError, match=words):
            WeightedLosses(*arguments)
    with pytest.raises(InputError, match="temperature: expected one for all .*0.07, 0.1"):
        door.model(WeightedLosses([two, SigmoidContrastiveLoss()]), learn_temperature=True)
    with pytest.raises(InputError, match="learn_bias: expected a loss whose rows.*WeightedLosses"):
        door.model(WeightedLosses([one, two]), learn_bias=True)
