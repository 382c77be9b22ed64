import numpy as np
import pytest
import tensorflow as tf

from xsample_tf.tensors import unit_rows


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5)])
def test_rows_get_length_1_in_their_own_dtype(shape):
    rows = np.random.default_rng(0).normal(size=shape)
    for dtype, tolerance in ((tf.float32, 1e-6), (tf.float64, 1e-14)):
        unit = unit_rows(tf.constant(rows, dtype))
        assert unit.dtype == dtype
        expected = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
        np.testing.assert_allclose(unit, expected, atol=tolerance)


def test_a_zero_row_stays_zero_and_its_gradient_is_finite():
    rows = tf.constant([[0.0, 0.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        unit = unit_rows(rows)
    np.testing.assert_allclose(unit, [[0, 0], [0.6, 0.8]], rtol=1e-6)
    assert np.isfinite(tape.gradient(unit, rows)).all()
