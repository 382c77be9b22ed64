import numpy as np
from helpers import frozen_features

from xsample_tf.evaluation import MEASURES, hits, knn_scores


def test_knn_weighs_votes_by_similarity():
    cosines = np.array([[0.9, 0.8, 0.8], [0.5, 0.1, 0.0]], np.float32)
    labels = np.array([[2, 0, 0], [1, 1, 0]])
    votes = np.zeros((2, 4))
    for query in range(2):
        for place in range(3):
            votes[query, labels[query, place]] += np.exp(cosines[query, place] / 0.07)
    scores = knn_scores(cosines, labels, 4, temperature=0.07)
    np.testing.assert_allclose(
        scores / scores.sum(1, keepdims=True), votes / votes.sum(1, keepdims=True), rtol=1e-5
    )
    assert scores[0].argmax() == 2  # exp(0.1 / 0.07) > 2: one near neighbour beats two.


def test_knn_survives_a_tiny_temperature():
    scores = knn_scores(np.array([[1.0, -1.0]], np.float32), np.array([[0, 1]]), 2, 1e-4)
    np.testing.assert_array_equal(scores, [[1, 0]])


def test_the_measure_is_of_each_image_beside_the_most_frequent_class():
    features = frozen_features.splits(classes=7)
    found = MEASURES.make("knn", values={}).run(features)
    cosines, rows = features.neighbours
    scores = knn_scores(cosines, features.train.labels[rows], 7)
    frequent = np.argsort(-np.bincount(features.train.labels, minlength=7), kind="stable")
    for top in (1, 5):
        score, right = found[f"knn_top{top}"], hits(scores, features.val.labels, top)
        np.testing.assert_array_equal(score.per_image, right)
        assert score.value == right.mean()
        assert score.chance == np.isin(features.val.labels, frequent[:top]).mean()
    assert found["knn_top1"].chance < found["knn_top1"].value < found["knn_top5"].value


def test_of_few_classes_there_is_no_top_5():
    features = frozen_features.splits(classes=5)
    assert list(MEASURES.make("knn", values={}).run(features)) == ["knn_top1"]
