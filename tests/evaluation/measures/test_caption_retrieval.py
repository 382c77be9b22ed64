import numpy as np
import pytest
from helpers import frozen_features

from xsample_tf.evaluation import (
    MEASURES,
    Queries,
    Split,
    Splits,
    caption_recall,
    fit_caption_map,
)


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


def test_the_map_as_one_affine_layer_is_the_same():
    features, captions = linear_world(400, 0, 0.3)
    caption_map = fit_caption_map(features, captions, seed=3)
    kernel, bias = caption_map.affine()
    predicted = features @ kernel + bias
    expected = predicted / np.linalg.norm(predicted, axis=1, keepdims=True)
    np.testing.assert_allclose(caption_map.of_images(features), expected, atol=1e-5)


def test_each_single_caption_looks_for_its_image():
    """Two captions an image, one of which says nothing: half of them find it."""
    train, (embeddings, captions) = linear_world(400, 0), linear_world(50, 1)
    noise = np.random.default_rng(2).normal(size=captions.shape)
    queries = Queries(np.repeat(np.arange(50), 2), np.stack([captions, noise], 1).reshape(100, -1))
    plain = frozen_features.splits()
    features = Splits(
        Split(train[0], np.zeros(400), train[1]),
        Split(embeddings, np.zeros(50), captions, queries=queries),
        0,
        plain.settings,
    )
    found = MEASURES.make("text_recall", values={}).run(features)
    assert list(found) == ["text_recall_at_1", "text_recall_at_5", "text_recall_at_10"]
    first, last = found["text_recall_at_1"], found["text_recall_at_10"]
    assert first.chance == pytest.approx(1 / 50) and last.chance == pytest.approx(10 / 50)
    assert 0.5 <= first.value <= 0.6 < last.value < 0.8
    assert set(first.per_image) <= {0.5, 1.0} and first.per_image.mean() == first.value
    # Without single captions the images' own vectors are the queries.
    alone = MEASURES.make("text_recall", values={}).run(
        Splits(features.train, Split(embeddings, np.zeros(50), captions), 0, plain.settings)
    )
    assert alone["text_recall_at_1"].value == 1
