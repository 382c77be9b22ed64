import numpy as np
from helpers import frozen_features

from xsample_tf.evaluation import MEASURES, fit_linear_probe, hits


def test_the_measure_is_of_each_image_and_of_the_head_that_others_share():
    features = frozen_features.splits(seed=3)
    found = MEASURES.make("linear", values={}).run(features)
    train, val = features.train, features.val
    by_hand = fit_linear_probe(train.embeddings, train.labels, 7, seed=3)
    np.testing.assert_array_equal(features.head.weights, by_hand.weights)
    for top in (1, 5):
        right = hits(by_hand.scores(val.embeddings), val.labels, top)
        np.testing.assert_array_equal(found[f"linear_top{top}"].per_image, right)
        assert found[f"linear_top{top}"].value == right.mean()


def test_it_says_that_it_is_fitting():
    lines = []
    features = frozen_features.splits(train=60, size=5, classes=7, log=lines.append)
    MEASURES.make("linear", values={}).run(features)
    assert lines == ["fitting a linear probe: 60 images, 5 features, 7 classes"]
