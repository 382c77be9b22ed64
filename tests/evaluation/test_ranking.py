import numpy as np
import pytest

from xsample_tf.evaluation import accuracy, hits
from xsample_tf.evaluation.ranking import text_recall


def test_accuracy_counts_ties_against():
    scores = np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert accuracy(scores, np.array([2, 0, 1])) == pytest.approx(1 / 3)
    assert accuracy(scores, np.array([2, 0, 1]), top=2) == pytest.approx(2 / 3)


def test_hits_are_of_each_row():
    scores = np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert hits(scores, np.array([2, 0, 1])).tolist() == [True, False, False]
    assert hits(scores, np.array([2, 0, 1]), top=2).tolist() == [True, True, False]


def test_text_recall_is_that_of_a_loop_over_captions():
    random = np.random.default_rng(0)
    images, own = random.normal(size=(30, 4)), random.integers(0, 30, 80)
    queries = images[own] + random.normal(size=(80, 4))
    queries[40:45] = queries[0]  # One text of several images: any of them is right.
    found = text_recall(queries, own, images)
    for k in (1, 5, 10):
        right, chance = np.zeros(80), np.zeros(80)
        for row, query in enumerate(queries):
            meant = {int(i) for q, i in zip(queries, own, strict=True) if (q == query).all()}
            nearest = sorted(range(30), key=lambda image: -float(query @ images[image]))[:k]
            right[row] = bool(meant & set(nearest))
            chance[row] = 1 - np.prod([(30 - len(meant) - j) / (30 - j) for j in range(k)])
        values = [right[own == image].mean() for image in np.unique(own)]
        chances = [chance[own == image].mean() for image in np.unique(own)]
        assert found[k].value == pytest.approx(np.mean(values))
        assert found[k].chance == pytest.approx(np.mean(chances))


def test_an_encoder_that_sees_nothing_finds_nothing():
    found = text_recall(np.eye(20), np.arange(20), np.ones((20, 20)))
    assert [score.value for score in found.values()] == [0, 0, 0]
