import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xsample_tf.evaluation import accuracy, knn_scores, nearest


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_nearest_agrees_with_the_whole_matrix(data):
    count, queries = data.draw(st.integers(2, 40)), data.draw(st.integers(1, 20))
    k, tile = data.draw(st.integers(1, count - 1)), data.draw(st.sampled_from([1, 3, 16, 64]))
    same = data.draw(st.booleans())
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    gallery = random.normal(size=(count, 5)).astype(np.float32)
    asked = gallery if same else random.normal(size=(queries, 5)).astype(np.float32)

    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (gallery, asked)]
    cosines = unit[1].astype(float) @ unit[0].T.astype(float)
    if same:
        np.fill_diagonal(cosines, -np.inf)
    expected = -np.sort(-cosines, axis=1)[:, :k]
    found, rows = nearest(gallery, asked, k, exclude_self=same, tile=tile)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(cosines, rows, axis=1), found, atol=1e-6)


def test_equal_cosines_give_the_first_rows_whatever_the_tile():
    gallery = np.repeat([[1.0, 0.0]], 10, axis=0) * np.arange(1, 11)[:, None]
    for tile in (1, 4, 32):
        assert nearest(gallery, gallery[:1], 3, tile=tile)[1].tolist() == [[0, 1, 2]]


def test_more_queries_than_a_tile_find_themselves_excluded():
    features = np.random.default_rng(0).normal(size=(5000, 2))
    rows = nearest(features, features, 1, exclude_self=True)[1]
    assert not np.any(rows[:, 0] == np.arange(5000))


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


def test_accuracy_counts_ties_against():
    scores = np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert accuracy(scores, np.array([2, 0, 1])) == pytest.approx(1 / 3)
    assert accuracy(scores, np.array([2, 0, 1]), top=2) == pytest.approx(2 / 3)
