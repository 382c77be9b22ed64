import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from xsample_tf.evaluation import nearest


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
