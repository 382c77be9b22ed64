"""What `fit` shows and says: metrics that are true, skipped steps, captions, the target."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import door
from helpers.strategies import mirrored

from xsample_tf import graphs, losses
from xsample_tf.errors import InputError
from xsample_tf.graphs.inspection import OWN_MASS_RANGE
from xsample_tf.losses import XSampleContrastiveLoss

EAGER = {"run_eagerly": True}
FED = {"batch_size": door.ROWS, "shuffle": False, "verbose": 0}
LABELLED = XSampleContrastiveLoss(graphs.LabelGraph())


def said(fit):
    """The warnings of this package while `fit` runs."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    words = ("target:", "loss:", "embedding:")
    return [str(one.message) for one in caught if str(one.message).startswith(words)]


@pytest.mark.parametrize("compiled", [{}, EAGER])
def test_an_epochs_means_count_images(compiled):
    views, captions = door.arrays(11)  # Batches of 8 and 3.
    views[8:] = views[8:, :1]  # Whose loss is another one.
    model = door.model(optimizer=keras.optimizers.SGD(1e-9), compiled=compiled)
    plain = door.plain(door.encoder(), None, keras.optimizers.SGD(1e-9), run_eagerly=True)
    expected = plain.fit(views, captions, **FED).history["loss"][0]
    history = model.fit(views, captions, **FED).history
    scores = model.evaluate(views, captions, batch_size=8, verbose=0, return_dict=True)
    for shown in ({name: value[0] for name, value in history.items()}, scores):
        assert shown["loss"] == pytest.approx(expected, rel=1e-5)
        assert shown["loss"] == pytest.approx(shown["kl"] + shown["target_entropy"], rel=1e-5)
    parts = [
        model.evaluate(views[part], captions[part], verbose=0, return_dict=True)
        for part in (slice(0, 8), slice(8, 11))
    ]
    for name, value in scores.items():
        mean = (8 * parts[0][name] + 3 * parts[1][name]) / 11
        assert value == pytest.approx(mean, rel=1e-4, abs=1e-6), name


class Size(keras.metrics.Mean):
    """Mean over images of the labels times the length of the projections."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        length = tf.reduce_mean(tf.norm(y_pred, axis=-1), axis=-1)
        label = tf.cast(tf.reshape(y_true, [-1]), length.dtype)
        super().update_state(label * length, sample_weight)


@pytest.mark.parametrize("replicas", [1, 2])
def test_metrics_of_compile_are_those_of_plain_keras(replicas):
    views, labels = door.arrays()[0], np.arange(door.ROWS) % 3
    given = {"metrics": [Size("size")], "weighted_metrics": [Size("weighted")]}
    weight = np.linspace(0, 2, door.ROWS).astype("float32")
    plain = door.plain(door.encoder(), LABELLED, "sgd", run_eagerly=True, **given)
    expected = plain.evaluate(views, labels, sample_weight=weight, verbose=0, return_dict=True)
    with (mirrored(2) if replicas > 1 else tf.distribute.get_strategy()).scope():
        metrics = {"metrics": [Size("size")], "weighted_metrics": [Size("weighted")]}
        model = door.model(LABELLED, compiled=metrics)
    shown = model.evaluate(
        views, {"label": labels}, sample_weight=weight, verbose=0, return_dict=True
    )
    history = model.fit(views, labels, sample_weight=weight, **FED).history
    for name in ("size", "weighted", "loss"):
        assert shown[name] == pytest.approx(expected[name], rel=1e-5), name
        assert history[name][0] == pytest.approx(expected[name], rel=1e-5), name


@pytest.mark.parametrize("compiled", [{}, EAGER])
def test_a_metric_that_cannot_compare_is_one_line(compiled):
    model = door.model(compiled={"metrics": ["mse"], **compiled})
    with pytest.raises(InputError, match=r"metrics: .* \(8, 5\), with projections .*6\)") as error:
        model.fit(*door.arrays(), **FED)
    assert "\n" not in str(error.value)


def unlabelled(rows=32, row=20):
    """Labels of which one says that there is none, as people write it."""
    labels = np.arange(rows) % 4
    labels[row] = -1
    return door.arrays(rows)[0], labels


def test_a_skipped_step_stops_terminate_on_nan_where_plain_keras_stops():
    views, labels = unlabelled()
    stopped = []
    for model in (door.model(LABELLED), door.plain(door.encoder(), LABELLED, "sgd")):
        steps = []
        callbacks = [
            keras.callbacks.TerminateOnNaN(),
            keras.callbacks.LambdaCallback(on_train_batch_end=lambda i, logs, n=steps: n.append(i)),
        ]
        history = model.fit(views, labels, epochs=3, callbacks=callbacks, **FED).history
        stopped.append((len(history["loss"]), steps, model.stop_training))
    assert stopped[0] == stopped[1] == (1, [0, 1, 2], True)
    several = door.model(LABELLED, compiled={"steps_per_execution": 2})
    several.fit(views, labels, epochs=3, callbacks=callbacks[:1], **FED)
    assert several.stop_training


def test_skipped_steps_are_warned_of_or_end_the_training():
    views, labels = unlabelled()
    model = door.model(LABELLED)
    found = said(lambda: model.fit(views, labels, epochs=3, **FED))
    assert len(found) == 1 and "1 of 4 steps were skipped" in found[0]
    assert not said(lambda: model.fit(views, labels, max_skipped=0.25, **FED))
    with pytest.raises(InputError, match="1 of 4 steps were skipped.*max_skipped=0.2;"):
        model.fit(views, labels, max_skipped=0.2, **FED)
    with pytest.raises(InputError, match="max_skipped: expected a share"):
        model.fit(views, labels, max_skipped=2, **FED)


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_caption_of_nan_is_named_once_and_counts_as_none(replicas):
    views, captions = door.arrays(3 * door.ROWS)
    broken = captions.copy()
    broken[13, 2] = np.nan
    captions[13] = 0  # No caption.
    keys = [f"photo-{i}" for i in range(len(views))]

    def batches(vectors):
        side = {"embedding": vectors, "key": keys}
        return tf.data.Dataset.from_tensor_slices((views, side)).batch(door.ROWS)

    with (mirrored(2) if replicas > 1 else tf.distribute.get_strategy()).scope():
        model = door.model()
    twin = door.model(compiled=EAGER)
    twin.fit(batches(captions), epochs=2, verbose=0)
    found = said(lambda: model.fit(batches(broken), epochs=2, verbose=0))
    named = [text for text in found if text.startswith("embedding:")]
    assert len(named) == 1 and "image 'photo-13', row 5 of a batch of 8, is NaN" in named[0]
    for one, two in zip(door.values(model.encoder), door.values(twin.encoder), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-6)
    scores = model.evaluate(batches(broken), return_dict=True, verbose=0)
    assert np.isfinite(scores["loss"])


def test_a_target_beyond_the_range_is_warned_of_once():
    views, captions = door.arrays(16)
    graph = graphs.CosineGraph()
    low, high = OWN_MASS_RANGE
    for temperature, words in ((0.05, "hardly differs from SimCLR"), (50.0, "hardly ranks")):
        loss = XSampleContrastiveLoss(graph, target_temperature=temperature)
        model = door.model(loss, compiled=EAGER)
        found = said(lambda model=model: model.fit(views, captions, epochs=2, **FED))
        assert len(found) == 1 and words in found[0] and f"{low:g} to {high:g}" in found[0]
    solved = losses.solve_target_temperature(graph, captions[: door.ROWS], 0.5)
    sound = door.model(XSampleContrastiveLoss(graph, target_temperature=solved), compiled=EAGER)
    assert not said(lambda: sound.fit(views, captions, **FED))
    for other in (graphs.InstanceGraph(), graphs.LabelGraph()):
        model = door.model(XSampleContrastiveLoss(other), compiled=EAGER)
        assert not said(lambda model=model: model.fit(views, np.arange(16), **FED))
