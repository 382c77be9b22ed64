"""The linear probe with crops: on made images, whose colour is the class."""

import numpy as np
import pytest
from helpers.plain_encoders import blind, mean_color

from xsample_tf import data
from xsample_tf.errors import InputError
from xsample_tf.evaluation import Settings, run_tasks, table
from xsample_tf.evaluation.probes.gradient_descent import Classifiers


def run(data_dir, encoder=mean_color, baseline=None, **more):
    given = {"batch_size": 32, "image_size": 16, "log": lambda line: None} | more
    settings = Settings(data_dir, values={"augmented_epochs": 4}, **given)
    return run_tasks(encoder, ["augmented_linear"], settings, baseline)


@pytest.fixture
def steps(monkeypatch):
    """What the classifiers were given, step by step: features, labels and the rate's share."""
    given, step = [], Classifiers.step

    def noted(self, features, labels, share):
        given.append((features, labels, share))
        step(self, features, labels, share)

    monkeypatch.setattr(Classifiers, "step", noted)
    return given


def test_a_classifier_is_fitted_on_other_crops_in_each_epoch(data_dir, steps):
    found = run(data_dir, baseline=blind)
    scores = found.scores["trained"]
    assert scores["augmented_linear/top1"].value == 1
    assert scores["augmented_linear/top1"].chance == pytest.approx(1 / 6)
    assert scores["augmented_linear/top1"].per_image.shape == (48,)
    # A baseline would cost as much again.
    assert found.scores["untrained"] == {}
    text = table(found.as_dict())
    assert "augmented_linear: linear probe with crops and flips, top-1 accuracy" in text
    # 96 images in 4 epochs of 3 steps; the 9 first ones are held out of all of them.
    assert len(steps) == 12 and sum(len(labels) for _, labels, _ in steps) == 4 * (96 - 9)
    shares = [share for _, _, share in steps]
    expected = [0.5 * (1 + np.cos(np.pi * step / 12)) for step in range(12)]
    np.testing.assert_allclose(shares, expected)
    epochs = [np.concatenate([f for f, _, _ in steps[i : i + 3]]) for i in range(0, 12, 3)]
    first, second = ({tuple(row) for row in epoch.round(6)} for epoch in epochs[:2])
    assert len(first & second) < 10
    meta = found.meta["tasks"]["augmented_linear"]
    assert meta["held_out"] == 9 and meta["images"] == {"train": 96, "val": 48}
    assert "4 epochs" in meta["head"] and meta["head"].startswith("SGD, rate ")


def test_the_rule_is_simclr_s_on_features_as_they_are(data_dir, steps):
    """The weights are those of a plain loop over the same batches."""
    problem = Classifiers(3, 6, (0.3,), 32)
    run(data_dir)
    weights, bias = np.zeros((3, 6)), np.zeros(6)
    moved, moved_bias = np.zeros((3, 6)), np.zeros(6)
    for features, labels, share in list(steps):
        problem.step(features, labels, share)
        logits = features @ weights + bias
        chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        error = (chance - np.eye(6)[labels]) / len(labels)
        gradient, gradient_bias = features.T @ error + 1e-6 * weights, error.sum(axis=0)
        moved, moved_bias = 0.9 * moved + gradient, 0.9 * moved_bias + gradient_bias
        rate = share * 0.3 * 32 / 256
        weights -= rate * (gradient + 0.9 * moved)
        bias -= rate * (gradient_bias + 0.9 * moved_bias)
    (scores,) = problem.scores(np.eye(3, dtype=np.float32))
    np.testing.assert_allclose(scores, weights + bias, rtol=1e-3, atol=1e-6)


def test_a_limit_counts_and_a_blind_encoder_is_at_chance(data_dir, steps):
    found = run(data_dir, blind, limit=40)
    assert found.scores["trained"]["augmented_linear/top1"].value <= 0.25
    assert found.meta["tasks"]["augmented_linear"]["images"]["val"] == 40
    assert max(len(labels) for _, labels, _ in steps) <= 32 and len(steps) == 4


def test_a_subset_that_is_smaller_than_its_limit_fills_a_batch(tmp_path):
    """Its size is the limit in the mean over seeds only, where there are several shards."""
    data.prepare("scenes:count=60,size=16", tmp_path, records_per_shard=8, log=lambda line: None)
    records = data.read_dataset(tmp_path).records("train")

    def images(seed):
        return data.steps_per_epoch(
            str(tmp_path), "train", 1, data.Subset(fraction=17 / records, seed=seed)
        )

    seed = next(seed for seed in range(50) if images(seed) < 17)
    found = run(str(tmp_path), limit=17, seed=seed)
    assert found.scores["trained"]["augmented_linear/top1"].value is not None


def test_what_cannot_be_probed_is_refused(bare_dir, data_dir):
    with pytest.raises(InputError, match="augmented_linear: expected labelled images"):
        run(bare_dir)

    def broken(images):
        found = np.array(mean_color(images))
        if len(images) == 32 and np.shape(images)[0] != 9:
            broken.calls += 1
            found[0] = np.nan if broken.calls > 2 else found[0]
        return found

    broken.calls = 0
    with pytest.raises(InputError, match="expected finite embeddings"):
        run(data_dir, broken)
