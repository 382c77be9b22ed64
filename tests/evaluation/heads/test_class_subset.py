import numpy as np
import pytest

from xsample_tf.errors import InputError
from xsample_tf.evaluation.heads.class_subset import class_subset, hits_any


def test_restricting_is_not_dropping_predictions_afterwards():
    scores = np.array([[0.9, 0.1, 0.5, 0.2], [0.0, 0.3, 0.1, 0.2]])
    # The first image's best class is outside; it still gets class 2 of those inside.
    np.testing.assert_array_equal(class_subset(scores, [1, 2, 3]).argmax(axis=1), [1, 0])
    np.testing.assert_array_equal(class_subset(scores, [(1, 3), 2]), [[0.2, 0.5], [0.3, 0.1]])


@pytest.mark.parametrize("group", [[], [4], [-1]])
def test_a_group_without_scores_is_refused(group):
    with pytest.raises(InputError, match="class_subset: expected classes 0 to 3 in each group"):
        class_subset(np.zeros([1, 4]), [group])


def test_one_of_several_labels_has_to_be_among_the_best():
    scores = np.array([[5.0, 4, 3, 2], [5, 4, 3, 2], [5, 5, 3, 2], [5, 4, 3, 2], [1, 1, 0, 0]])
    labels = [(1, 0), (1, 2), (1,), (), (0, 1)]
    # A tie counts against it, unless both are right; without labels nothing is.
    assert hits_any(scores, labels).tolist() == [True, False, False, False, True]
    assert hits_any(scores, labels, top=2).tolist() == [True, True, True, False, True]
    assert hits_any(np.full([1, 3], -np.inf), [(1,)]).tolist() == [False]
