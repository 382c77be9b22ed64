import numpy as np
from helpers import frozen_features

from xsample_tf.evaluation import MEASURES, Settings, Split, Splits, hits, knn_scores


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


def test_both_conventions_are_those_of_scikit_learn():
    random = np.random.default_rng(3)
    labels = random.integers(0, 4, 300)
    centers = random.normal(size=(4, 5))
    rows = (centers[labels] + 1.5 * random.normal(size=(300, 5))).astype(np.float32)
    queries = centers[random.integers(0, 4, 40)] + 1.5 * random.normal(size=(40, 5))
    queries = queries.astype(np.float32)
    # Predictions of sklearn's KNeighborsClassifier 1.9.1, by cosine, with weights exp(cosine / T).
    expected = {
        "knn": "0031213210333133330333333131213322301322",
        "knn200": "0031311210333133330333333131213322301322",
    }
    for name, classes in expected.items():
        predicted = np.array(list(map(int, classes)))
        features = Splits(Split(rows, labels), Split(queries, predicted), 4, Settings())
        found = MEASURES.make("knn", values={}).run(features)
        assert found[f"{name}_top1"].value == 1
        assert list(found) == ["knn_top1", "knn200_top1"]


def test_fewer_training_images_than_neighbours_have_no_such_figure():
    features = frozen_features.splits(train=199)
    assert "knn200_top1" not in MEASURES.make("knn", values={}).run(features)
    features = frozen_features.splits(train=200)
    found = MEASURES.make("knn", values={}).run(features)
    scores = knn_scores(*_with_labels(features, 200), 7, temperature=0.1)
    right = hits(scores, features.val.labels)
    np.testing.assert_array_equal(found["knn200_top1"].per_image, right)
    assert [array.shape[1] for array in features.neighbours] == [20, 20]


def _with_labels(features, k):
    cosines, rows = features.nearest(k)
    return cosines, features.train.labels[rows]
