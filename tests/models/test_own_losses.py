"""The seam between the model and a loss: what it is given, learns for it, and shows of it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import door
from helpers.strategies import mirrored

from xsample_tf import graphs
from xsample_tf.errors import InputError
from xsample_tf.losses import ContrastiveLoss, XSampleContrastiveLoss

FED = {"batch_size": door.ROWS, "shuffle": False, "verbose": 0}
LABELS = np.arange(door.ROWS, dtype=np.int32) % 3


class Several(ContrastiveLoss):
    """Needs several features, a temperature and a bias."""

    features = ("embedding", "index", "label")
    statistics = ("first", "second")
    temperature, bias = 0.5, -1.0

    def rows(self, side, embeddings, temperature=None, bias=None):
        assert side.keys() == {"embedding", "label"}
        captions = tf.reduce_sum(tf.cast(side["embedding"], embeddings.dtype), 1)
        scores = tf.reduce_sum(embeddings, [1, 2]) / temperature
        statistics = {"first": scores, "second": bias + tf.zeros_like(scores), "unknown": scores}
        return tf.square(scores + bias - captions) * tf.cast(
            side["label"], scores.dtype
        ), statistics


def several(**arguments):
    return door.model(Several(), learn_temperature=True, learn_bias=True, **arguments)


def names_of(model):
    return [metric.name for metric in model.metrics]


def side():
    return {"embedding": door.captions().astype("float32"), "label": LABELS}


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_step_of_several_features_and_a_bias_is_the_hand_written_one(replicas):
    views = door.arrays()[0]
    with (mirrored(2) if replicas > 1 else tf.distribute.get_strategy()).scope():
        model = several()
    twin, scale, bias = door.encoder(), tf.Variable(np.log(np.float32(0.5))), tf.Variable(-1.0)
    with tf.GradientTape() as tape:
        z = tf.reshape(twin(views.reshape(-1, 4, 4, 3)), [door.ROWS, 2, 6])
        rows, statistics = Several().rows(side(), z, tf.exp(scale), bias)
        loss = tf.reduce_mean(rows)
    by_scale, by_bias = tape.gradient(loss, [scale, bias])
    data = tf.data.Dataset.from_tensor_slices((views, side())).batch(door.ROWS)
    history = model.fit(data, verbose=0).history
    shown = {name: values[0] for name, values in history.items()}
    assert shown["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert shown["first"] == pytest.approx(float(np.mean(statistics["first"])), rel=1e-5)
    assert (shown["second"], shown["temperature"], shown["bias"]) == pytest.approx((-1, 0.5, -1))
    assert names_of(model) == [
        *("loss", "first", "second"),
        *("projection_deviation", "substituted", "skipped"),
        *("temperature", "bias"),
    ]
    low, high = np.log(0.01), 0.0  # A temperature has a range, a bias has none.
    expected = np.clip(np.log(0.5) - door.RATE * float(by_scale), low, high)
    np.testing.assert_allclose(np.array(model.log_temperature), expected, rtol=1e-4)
    expected = -1 - door.RATE * float(by_bias)
    np.testing.assert_allclose(np.array(model.bias), expected, rtol=1e-4)
    assert expected != -1


def test_a_learned_bias_is_saved_and_left_alone_by_weight_decay(tmp_path):
    still = keras.optimizers.SGD(1e-12, weight_decay=1e11)
    model = several(optimizer=still, compiled={"run_eagerly": True})
    model.fit(door.arrays()[0], side(), **FED)
    assert float(np.array(model.bias)) == pytest.approx(-1, abs=1e-6)
    model.bias.assign(-3.0)
    model.save_weights(tmp_path / "w.weights.h5")
    again = several()
    again.load_weights(tmp_path / "w.weights.h5")
    again.compile("sgd", Several())  # The loss's own is where it began, and no more.
    assert float(np.array(again.bias)) == -3
    assert door.model(XSampleContrastiveLoss()).get_config()["learn_bias"] is False
    assert model.get_config()["learn_bias"] is True


def test_features_that_are_missing_are_named():
    views, model = door.arrays()[0], several(compiled={"run_eagerly": True})
    with pytest.raises(InputError, match="Several: expected 'label' in the dataset, received emb"):
        model.fit(views, {"embedding": door.captions()}, **FED)
    with pytest.raises(InputError, match=r"expected a dict with 'embedding' and 'label', .*\(8,"):
        model.train_on_batch(views, LABELS)
    with pytest.raises(InputError, match="learn_bias: expected a loss .*received XSampleContr"):
        door.model(XSampleContrastiveLoss(), learn_bias=True)
    with pytest.raises(InputError, match="expected 'embedding' and 'label'.*received None"):
        Several()(None, tf.zeros([2, 2, 3]))


def test_a_caption_without_values_is_one_among_several_features():
    given = side()
    given["embedding"][2] = np.nan
    model = several(compiled={"run_eagerly": True})
    with pytest.warns(UserWarning, match="row 2 of a batch of 8"):
        history = model.fit(door.arrays()[0], given, **FED).history
    assert np.isfinite(history["loss"][0])


def test_a_loss_of_another_class_is_taken_to_have_the_statistics_of_x_sample():
    class Foreign(keras.losses.Loss):
        graph = graphs.LabelGraph()

        def rows(self, side, embeddings):
            return XSampleContrastiveLoss(self.graph).rows(side, embeddings)

    model = door.model(Foreign(), compiled={"run_eagerly": True})
    ours = door.model(XSampleContrastiveLoss(graphs.LabelGraph()), compiled={"run_eagerly": True})
    shown, expected = (m.fit(door.arrays()[0], LABELS, **FED).history for m in (model, ours))
    assert shown == expected
    assert names_of(model) == [
        "loss",
        "kl",
        "target_entropy",
        "effective_positives",
        "own_mass",
        "alignment",
        "uniformity",
        "projection_deviation",
        "substituted",
        "skipped",
    ]


def test_the_metrics_follow_the_loss_that_is_compiled():
    model = door.model(compiled={"run_eagerly": True})
    model.fit(*door.arrays(), **FED)
    model.compile("sgd", NoStatistic(), run_eagerly=True)
    history = model.fit(*door.arrays(), **FED).history
    assert history.keys() == {"loss", "projection_deviation", "substituted", "skipped"}


class NoStatistic(ContrastiveLoss):
    """Shows nothing but itself."""

    features = "index"

    def rows(self, side, embeddings):
        assert side is None
        return tf.reduce_sum(tf.square(embeddings), [1, 2]), {}


def test_the_guides_loss_trains(repository):
    blocks = (repository / "docs/loss.md").read_text(encoding="utf-8").split("```python\n")
    (block,) = (block.split("```")[0] for block in blocks if "class AgeLoss" in block)
    names = {}
    exec(compile(block, "loss.md", "exec"), names)
    loss = names["AgeLoss"]()
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    model = door.model(loss, compiled={"run_eagerly": True})
    ages = np.arange(door.ROWS) / door.ROWS
    history = model.fit(door.arrays()[0], {"age": ages}, epochs=5, **FED).history
    assert history["age_error"][-1] < history["age_error"][0]
