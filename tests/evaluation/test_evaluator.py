import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.plain_encoders import blind, mean_color, small_encoder

from xsample_tf import data, evaluation
from xsample_tf.errors import InputError


def test_an_encoder_that_knows_beats_one_that_does_not(data_dir):
    results = evaluation.evaluate(mean_color, data_dir, baseline=blind, image_size=16)
    trained, untrained, chance = (results[k] for k in ("trained", "untrained", "chance"))
    assert trained["knn_top1"] == trained["linear_top1"] == trained["knn_top5"] == 1
    assert untrained["linear_top1"] <= 0.2
    assert chance["knn_top1"] == pytest.approx(1 / 6) and chance["linear_top5"] == pytest.approx(
        5 / 6
    )
    assert trained["kl"] < untrained["kl"] == pytest.approx(chance["kl"], rel=1e-5)
    assert trained["caption_cosine"] > 0.6 and trained["caption_cosine_ratio"] > 3
    assert chance["caption_cosine_ratio"] == 1
    assert trained["recall_at_10"] > 0.8 and chance["recall_at_10"] == pytest.approx(10 / 48)
    assert trained["rankme"] > 2 > 1.01 > untrained["rankme"]
    assert results["meta"]["images"] == {"train": 96, "val": 48}
    assert set(trained) == set(untrained) == set(chance)
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_with_a_projector_the_kl_alone_is_of_what_it_gives(data_dir):
    def with_doubt(batch) -> np.ndarray:
        return np.concatenate([mean_color(batch), np.full((len(batch), 1), 9.0)], axis=1)

    projector = keras.Sequential([keras.Input([4]), keras.layers.Dense(3, use_bias=False)])
    projector.set_weights([np.eye(4, 3)])
    plain, projected, known = (
        evaluation.evaluate(encoder, data_dir, image_size=16, **arguments)
        for encoder, arguments in (
            (with_doubt, {}),
            (with_doubt, {"projector": projector, "baseline": with_doubt}),
            (mean_color, {}),
        )
    )
    assert projected["trained"]["kl"] == pytest.approx(known["trained"]["kl"], rel=1e-4)
    assert projected["trained"]["kl"] < projected["untrained"]["kl"]
    assert projected["trained"] | {"kl": 0} == plain["trained"] | {"kl": 0}
    assert plain["meta"]["kl_of"] == "embedding" and projected["meta"]["kl_of"] == "projection"
    assert evaluation.table(projected).splitlines()[-2].startswith("KL of the projection to val's")
    assert "KL of the embedding" in evaluation.markdown(plain).splitlines()[-1]
    assert "KL" not in evaluation.summary(plain, 3)


def test_batch_size_changes_no_figure(data_dir):
    encoder = small_encoder()
    results = [
        evaluation.evaluate(encoder, data_dir, batch_size=size)["trained"] for size in (7, 48)
    ]
    assert results[0] == pytest.approx(results[1], rel=1e-4)


def test_probes_are_chosen(data_dir):
    scores = evaluation.evaluate(mean_color, data_dir, probes=["knn"], image_size=16)["trained"]
    assert "knn_top1" in scores and "linear_top1" not in scores
    scores = evaluation.evaluate(mean_color, data_dir, probes=[], image_size=16)["trained"]
    assert "knn_top1" not in scores and "kl" in scores


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probes": ["knnn"]}, "unknown probe 'knnn'; did you mean 'knn'"),
        ({"embedding": "tow"}, "no caption vectors 'tow'.*did you mean 'toy'"),
        ({"data_dir": "nowhere"}, "no dataset.json in nowhere"),
        ({"image_size": None}, "image_size: expected the side"),
        ({"encoder": lambda x: np.full((len(x), 2), np.nan)}, "finite.*NaN.*weights have diverged"),
        ({"encoder": lambda x: np.asarray(x)}, r"expected embeddings \[\d+, D\]"),
    ],
)
def test_bad_input_is_one_clear_line(data_dir, arguments, message):
    given = {"encoder": mean_color, "data_dir": data_dir, "image_size": 16} | arguments
    with pytest.raises(InputError, match=message) as caught:
        evaluation.evaluate(**given)
    assert "\n" not in str(caught.value)


def test_a_size_that_the_encoder_does_not_take_is_an_error(data_dir):
    with pytest.raises(InputError, match="image_size: expected 16, received 32"):
        evaluation.evaluate(small_encoder(), data_dir, image_size=32)


class Dimmed(evaluation.Task):
    """The images of `val/` at another brightness, by the head of `train/` as it is."""

    figures = (evaluation.Figure("top1", "top-1 accuracy", "{:.1%}", brief="dimmed"),)
    decoded = 0

    def run(self, runner):
        images = data.load_images(runner.dataset.directory, "val", 16, runner.image_size).unbatch()
        features = runner.embed("dimmed", images.map(self._dim))
        right = evaluation.hits(runner.head.scores(features.embeddings), features.labels)
        score = evaluation.Score(right.mean(), 1 / 6, right)
        return evaluation.Outcome({"top1": score}, {"kind": "dim"}, {"1 image": "too dark"})

    def _dim(self, example):
        def counted(image):
            Dimmed.decoded += 1
            return image

        image = tf.numpy_function(counted, [example["image"]], tf.float32)
        return example | {"image": tf.ensure_shape(0.9 * image, example["image"].shape)}


def test_tasks_stand_side_by_side_beside_untrained_and_chance(data_dir, own_entries, monkeypatch):
    evaluation.TASKS.register("dimmed")(Dimmed)
    monkeypatch.setattr(Dimmed, "decoded", 0)
    settings = evaluation.Settings(data_dir, image_size=16, probes=["knn"])
    found = evaluation.run_tasks(mean_color, ["shards", "dimmed"], settings, baseline=blind)
    results = found.as_dict()
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    alone = evaluation.evaluate(mean_color, data_dir, image_size=16, probes=["knn"], baseline=blind)
    own = {name: results[name].pop("dimmed/top1") for name in ("trained", "untrained", "chance")}
    assert own == {"trained": 1.0, "untrained": pytest.approx(1 / 6), "chance": 1 / 6}
    assert results["meta"].pop("tasks") == {"dimmed": {"kind": "dim"}}
    assert results["meta"]["left_out"].pop("dimmed: 1 image") == "too dark"
    assert results == alone
    assert Dimmed.decoded == 48  # Once for both encoders.


def test_scores_of_each_image_are_kept_for_comparisons(data_dir, own_entries):
    evaluation.TASKS.register("dimmed")(Dimmed)
    settings = evaluation.Settings(data_dir, image_size=16)
    scores = evaluation.run_tasks(mean_color, ["shards", "dimmed"], settings, blind).scores
    for score in scores["untrained"].values():
        if score.per_image is not None:
            assert np.shape(score.per_image) == (48,)
            assert np.mean(score.per_image) == pytest.approx(score.value, abs=1e-6)
    without = {name for name, score in scores["trained"].items() if score.per_image is None}
    assert without == {"caption_cosine_ratio", "rankme"}


def test_a_task_alone_needs_no_data_directory_unless_it_asks_for_one(own_entries):
    @evaluation.TASKS.register("grey")
    class Grey(evaluation.Task):
        def run(self, runner):
            grey = tf.data.Dataset.from_tensor_slices({"image": tf.fill([9, 16, 16, 3], 0.5)})
            return runner.measure(runner.splits(None, runner.embed("grey", grey)))

    found = evaluation.run_tasks(mean_color, ["grey"], evaluation.Settings(image_size=16))
    results = found.as_dict()
    assert set(results["trained"]) == {"grey/rankme"}
    assert results["meta"]["tasks"]["grey"]["images"] == {"val": 9}
    text = evaluation.table(results)
    assert "grey: effective rank (RankMe)" in text
    assert "left out: grey: measures that are fitted: no training split" in text
    assert evaluation.markdown(results).splitlines()[2].startswith("Images at 16 pixels")
    for task in ("shards", "dimmed"):
        evaluation.TASKS.register("dimmed")(Dimmed)
        with pytest.raises(InputError, match="data_dir: expected a directory.*received none"):
            evaluation.run_tasks(mean_color, [task], evaluation.Settings(image_size=16))


def test_an_unknown_task_is_named_before_any_work():
    with pytest.raises(InputError, match="task: received 'shard', did you mean 'shards'"):
        evaluation.run_tasks(None, ["shard"], evaluation.Settings())


def test_an_encoder_that_evaluation_changes_is_refused(data_dir):
    class Moving(keras.layers.Layer):
        """Counts its calls in a weight, as batch normalisation in training mode would."""

        def build(self, shape):
            self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, images):
            self.calls.assign_add(1.0)
            return keras.ops.mean(images, axis=(1, 2))

    image = keras.Input([16, 16, 3])
    settings = evaluation.Settings(data_dir, probes=["knn"], log=lambda line: None)
    with pytest.raises(InputError, match=r"encoder \(trained\): its weights changed while"):
        evaluation.run_tasks(keras.Model(image, Moving()(image)), ["shards"], settings)


def test_of_several_tasks_the_first_error_counts_where_none_can_run(own_entries):
    lines = []
    settings = evaluation.Settings(image_size=16, log=lines.append)
    with pytest.raises(InputError, match="folder_dir: expected a folder of class folders"):
        evaluation.run_tasks(mean_color, ["folder", "objectnet"], settings)


def test_a_task_that_cannot_run_is_left_out_and_said(data_dir):
    lines = []
    settings = evaluation.Settings(data_dir, image_size=16, probes=["knn"], log=lines.append)
    found = evaluation.run_tasks(mean_color, ["objectnet", "shards"], settings).as_dict()
    assert found["trained"]["knn_top1"] == 1
    why = "objectnet_dir: expected a folder, received none"
    assert found["meta"]["left_out"] == {"task objectnet": why}
    assert f"task objectnet is left out: {why}" in lines
    assert f"left out: task objectnet: {why}" in evaluation.table(found)


def test_a_warning_of_a_task_is_in_the_report(own_entries):
    @evaluation.TASKS.register("odd")
    class Odd(evaluation.Task):
        figures = (evaluation.Figure("top1", "top-1 accuracy"),)

        def run(self, runner):
            return evaluation.Outcome({"top1": evaluation.Score(0.1)}, warnings=("far too low",))

    settings = evaluation.Settings(image_size=16)
    results = evaluation.run_tasks(mean_color, ["odd"], settings).as_dict()
    assert evaluation.table(results).splitlines()[-1] == "warning: odd: far too low"
    assert "- warning: odd: far too low" in evaluation.markdown(results)


def test_a_collapsed_encoder_is_warned_of_and_a_healthy_one_is_not(data_dir):
    def collapsed(images):
        """One direction for all images, but for a trace."""
        return np.ones((1, 8)) + 1e-4 * np.resize(mean_color(images), (len(images), 8))

    def rich(images):
        return np.asarray(images)[:, ::5, ::5].reshape(len(images), -1) - 0.5

    given = {"data_dir": data_dir, "image_size": 16, "probes": ["knn"], "log": lambda line: None}
    results = evaluation.evaluate(collapsed, baseline=rich, **given)
    (warning,) = results["meta"]["warnings"]
    assert warning.startswith("collapse: the effective rank is 1.0, that of the untrained encoder")
    assert f"warning: {warning}" in evaluation.table(results)
    assert f"- warning: {warning}" in evaluation.markdown(results)
    for encoder, baseline in ((rich, collapsed), (rich, rich)):
        results = evaluation.evaluate(encoder, baseline=baseline, **given)
        assert "warnings" not in results["meta"]


def test_several_encoders_are_evaluated_as_each_alone(data_dir, own_entries, monkeypatch):
    evaluation.TASKS.register("dimmed")(Dimmed)
    monkeypatch.setattr(Dimmed, "decoded", 0)
    settings = evaluation.Settings(data_dir, image_size=16, log=lambda line: None)
    encoders = {"early": blind, "late": mean_color}
    candidates = {name: evaluation.Candidate(one) for name, one in encoders.items()}
    tasks, baseline = ["shards", "dimmed"], evaluation.Candidate(blind)
    found = evaluation.compare(candidates, tasks, settings, baseline)
    assert Dimmed.decoded == 48
    for name, encoder in encoders.items():
        alone = evaluation.run_tasks(encoder, tasks, settings, blind)
        assert found[name].as_dict() == alone.as_dict()
