"""Moments and principal axes against NumPy in float64."""

import numpy as np
import pytest

from xsample_tf.evaluation import linear_algebra


def features(rows=300, size=5):
    """Features of other means, deviations and correlations; the last one is constant."""
    random = np.random.default_rng(0)
    mixed = random.normal(size=(rows, size)) @ random.normal(size=(size, size))
    mixed = 100 + mixed * [1, 10, 0.1, 3, 0]
    return mixed.astype(np.float32)


@pytest.fixture(autouse=True)
def short_tiles(monkeypatch):
    """Features of several tiles, the last of which is not full."""
    monkeypatch.setattr(linear_algebra, "_TILE", 64)


def test_standardized_features_have_mean_0_and_deviation_1_and_a_constant_is_0():
    given = features()
    found = linear_algebra.standardization(given)(given)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(0), [1, 1, 1, 1, 0], atol=1e-4)


def test_moments_are_means_over_the_rows_that_are_asked_for():
    given = features()
    targets = np.random.default_rng(1).normal(size=(len(given), 3))
    standardize = linear_algebra.standardization(given)
    rows = np.random.default_rng(2).permutation(len(given))[:150]
    second, cross = linear_algebra.moments(given, targets, rows, standardize)
    x, y = standardize(given[rows]).astype(np.float64), targets[rows]
    np.testing.assert_allclose(second, x.T @ x / 150, atol=1e-5)
    np.testing.assert_allclose(cross, x.T @ y / 150, atol=1e-5)


def test_along_principal_axes_features_are_uncorrelated_and_distances_stay():
    given = features()
    basis = linear_algebra.principal_basis(given)
    rotated = basis.rotate(given).astype(np.float64)
    np.testing.assert_allclose(
        rotated.T @ rotated / len(given), np.diag(basis.variances), atol=1e-4
    )
    standardized = basis.standardize(given).astype(np.float64)
    np.testing.assert_allclose(
        np.linalg.norm(rotated[0] - rotated, axis=1),
        np.linalg.norm(standardized[0] - standardized, axis=1),
        atol=1e-4,
    )
    assert np.all(basis.variances >= 0) and basis.variances.sum() == pytest.approx(4, abs=1e-3)
