import numpy as np
import pytest
from helpers import frozen_features

from xsample_tf.evaluation import MEASURES, caption_recall


def linear_world(count, seed, noise=0.0):
    random = np.random.default_rng(seed)
    mix = np.random.default_rng(77).normal(size=(10, 16))
    captions = random.normal(size=(count, 10)) + 2
    captions /= np.linalg.norm(captions, axis=1, keepdims=True)
    return 4 + captions @ mix + noise * random.normal(size=(count, 16)), captions


def test_a_linear_relation_is_recalled_and_noise_lowers_it():
    train, val = linear_world(400, 0), linear_world(100, 1)
    recall, distinct = caption_recall(*train, *val)
    assert recall == {1: 1.0, 5: 1.0, 10: 1.0} and distinct == 100
    noisy, _ = caption_recall(*linear_world(400, 0, 1.0), *linear_world(100, 1, 1.0))
    assert noisy[1] < noisy[5] < noisy[10] < 1


def test_recall_of_meaningless_features_is_chance():
    random = np.random.default_rng(5)
    recall, distinct = caption_recall(
        random.normal(size=(300, 8)),
        random.normal(size=(300, 6)),
        random.normal(size=(1000, 8)),
        random.normal(size=(1000, 6)),
        ranks=(100,),
    )
    assert recall[100] == pytest.approx(100 / distinct, abs=0.04)


def test_equal_captions_count_as_one_and_equal_images_recall_nothing():
    captions = np.repeat(np.eye(4), 25, axis=0)
    recall, distinct = caption_recall(captions * 3, captions, captions * 3, captions)
    assert distinct == 4 and recall[1] == 1
    assert caption_recall(np.ones((100, 3)), captions, np.ones((100, 3)), captions)[0][1] == 0


def test_the_measure_is_of_each_image_at_three_ranks():
    features = frozen_features.splits()
    train, val = features.train, features.val
    recall, distinct = caption_recall(
        train.embeddings, train.captions, val.embeddings, val.captions
    )
    found = MEASURES.make("recall", values={}).run(features)
    assert list(found) == ["recall_at_1", "recall_at_5", "recall_at_10"]
    for k, value in recall.items():
        score = found[f"recall_at_{k}"]
        assert score.value == value == pytest.approx(score.per_image.mean())
        assert score.chance == k / distinct
    assert np.all(found["recall_at_1"].per_image <= found["recall_at_10"].per_image)
