import numpy as np
import pytest
from helpers import frozen_features, reference

from xsample_tf.evaluation import MEASURES, caption_cosine


def test_caption_cosine_and_its_chance_agree_with_loops():
    random = np.random.default_rng(3)
    gallery, captions = random.normal(size=(9, 4)), random.normal(size=(5, 4))
    neighbours = random.integers(0, 9, (5, 3))
    unit_gallery, unit = reference.unit(gallery), reference.unit(captions)
    found = [unit[q] @ unit_gallery[j] for q in range(5) for j in neighbours[q]]
    pairs = [unit[q] @ unit_gallery[j] for q in range(5) for j in range(9)]
    assert caption_cosine(neighbours, gallery, captions) == pytest.approx(
        (np.mean(found), np.mean(pairs)), abs=1e-6
    )


def test_the_measure_is_of_each_image_with_its_ratio_to_chance():
    features = frozen_features.splits()
    found = MEASURES.make("caption_cosine", values={}).run(features)
    rows = features.neighbours[1]
    train, val = features.train.captions, features.val.captions
    cosine, ratio = found["caption_cosine"], found["caption_cosine_ratio"]
    assert (cosine.value, cosine.chance) == caption_cosine(rows, train, val)
    expected = [np.mean(train[rows[image]] @ val[image]) for image in range(len(val))]
    np.testing.assert_allclose(cosine.per_image, expected, atol=1e-5)
    assert ratio.value == cosine.value / cosine.chance > 1 == ratio.chance
    assert ratio.per_image is None


def test_a_ratio_to_nearly_nothing_is_none():
    features = frozen_features.splits()
    mean = features.train.captions.mean(axis=0)
    for split in (features.train, features.val):
        split.captions -= mean
    ratio = MEASURES.make("caption_cosine", values={}).run(features)["caption_cosine_ratio"]
    assert ratio.value is None and ratio.chance is None
