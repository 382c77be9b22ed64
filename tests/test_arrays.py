import numpy as np
import pytest

from xsample_tf.arrays import unit_rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_get_length_1_in_their_own_dtype(dtype):
    rows = np.array([[3, 4], [0, 0], [-1e-12, 0], [0, 2]], dtype)
    unit = unit_rows(rows)
    assert unit.dtype == dtype
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0, 0], [-1, 0], [0, 1]], rtol=1e-6)
    np.testing.assert_array_equal(unit_rows(rows.reshape(2, 2, 2)), unit.reshape(2, 2, 2))


def test_what_is_not_finite_stays_so_and_spoils_no_other_row():
    unit = unit_rows(np.array([[np.nan, 1], [np.inf, 1], [2, 0]]))
    assert np.isfinite(unit).all(axis=1).tolist() == [False, False, True]
