import numpy as np
import pytest
from helpers import frozen_features

from xsample_tf.evaluation import MEASURES, hits
from xsample_tf.evaluation.probes.few_shot import ridge_scores, shots


def test_it_is_the_mean_over_three_choices_with_their_deviation():
    features = frozen_features.splits(train=120, classes=3)
    found = MEASURES.make("few_shot", values={}).run(features)
    train, val, right = features.train, features.val, []
    for seed in (0, 1, 2):
        (rows,) = shots(train.labels, 3, (5,), seed)
        scores = ridge_scores(train.embeddings[rows], train.labels[rows], val.embeddings, 3)
        right.append(hits(scores, val.labels))
    score = found["few_shot_5"]
    np.testing.assert_allclose(score.per_image, np.mean(right, axis=0), atol=1e-6)
    assert score.value == pytest.approx(np.mean(right)) and score.chance == pytest.approx(1 / 3)
    deviation = np.std([np.mean(one) for one in right], ddof=1)
    assert found["few_shot_5_deviation"].value == pytest.approx(deviation)
    assert found["few_shot_25"].value > found["few_shot_1"].value
    assert found["prototype_25"].value > 1 / 3


def test_counts_that_a_class_has_too_few_images_for_are_left_out_and_said():
    lines = []
    features = frozen_features.splits(train=60, classes=4, log=lines.append)
    fewest = np.bincount(features.train.labels).min()
    assert 10 <= fewest < 25
    found = MEASURES.make("few_shot", values={}).run(features)
    assert "few_shot_10" in found and "few_shot_25" not in found
    assert lines == [f"few_shot: a class has only {fewest} training images"]
