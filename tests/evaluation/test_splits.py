import numpy as np
from helpers import frozen_features

from xsample_tf.evaluation import Settings, Split, Splits


def test_images_that_have_it_all_are_given_without_a_copy():
    features = frozen_features.splits()
    for needs in ((), ("train",), ("labels",), ("train", "labels", "captions")):
        assert features.having(needs) is features


def test_images_that_lack_a_need_are_left_out_with_all_that_is_theirs():
    features = frozen_features.splits(train=30, val=20, classes=7, project=lambda x: x[:, :2])
    features.train.labels[:10] = -1
    features.val.labels[5] = 7  # No such class.
    features.val.captions[[5, 6]] = 0
    labelled, both = (features.having(needs) for needs in (("labels",), ("labels", "captions")))
    assert (len(labelled.train), len(labelled.val)) == (20, 19)
    kept = np.delete(np.arange(20), 5)
    np.testing.assert_array_equal(labelled.val.rows, kept)
    for name in ("embeddings", "labels", "captions", "projections"):
        whole, part = getattr(features.val, name), getattr(labelled.val, name)
        np.testing.assert_array_equal(part, whole[kept])
    assert both.val.rows.tolist() == [0, 1, 2, 3, 4, *range(7, 20)]
    assert features.counts() == {"train": 30, "val": 20}
    assert features.counts("labels") == {"train": 20, "val": 19}
    assert features.counts("captions") == {"train": 30, "val": 18}


def test_the_same_images_share_what_was_computed_of_them():
    features = frozen_features.splits()
    features.train.labels[:10] = -1
    features.train.captions[:10] = 0
    found = features.having(("labels",))
    assert found is not features and found is features.having(("train", "captions"))
    assert found.head is found.head
    assert np.shares_memory(found.neighbours[0], found.nearest(5)[0])


def test_what_nobody_has_is_none():
    split = Split(np.eye(4, dtype=np.float32), np.array([0, -1, -1, -1]))
    features = Splits(None, split, 2, Settings())
    for needs in (("train",), ("labels",), ("captions",)):
        assert features.having(needs) is None
    assert features.having(()) is features
    assert features.counts("captions") == {"val": 0}
