import numpy as np
import pytest

from xsample_tf.evaluation import accuracy, hits


def test_accuracy_counts_ties_against():
    scores = np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert accuracy(scores, np.array([2, 0, 1])) == pytest.approx(1 / 3)
    assert accuracy(scores, np.array([2, 0, 1]), top=2) == pytest.approx(2 / 3)


def test_hits_are_of_each_row():
    scores = np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert hits(scores, np.array([2, 0, 1])).tolist() == [True, False, False]
    assert hits(scores, np.array([2, 0, 1]), top=2).tolist() == [True, True, False]
