"""Moments of large feature matrices, a tile of rows at a time."""

import dataclasses

import numpy as np

_TILE = 16384
# Rows that the principal axes are computed from: they only serve as coordinates.
_BASIS_ROWS = 65536


@dataclasses.dataclass(frozen=True)
class Standardization:
    """Takes features to mean 0 and deviation 1; a constant feature becomes 0.

    Attributes:
        mean: Float32 `[D]`.
        scale: Standard deviations, float32 `[D]`.
    """

    mean: np.ndarray
    scale: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Returns standardised features float32 `[N, D]`."""
        return ((features - self.mean) / self.scale).astype(np.float32)


def standardization(features: np.ndarray) -> Standardization:
    """Returns the standardisation of features `[N, D]`."""
    mean = np.mean(features, axis=0, dtype=np.float64)
    square = np.zeros(features.shape[1])
    for first in range(0, len(features), _TILE):
        square += np.sum((features[first : first + _TILE] - mean) ** 2, axis=0)
    deviation = np.sqrt(square / len(features))
    constant = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    scale = np.where(constant, 1, deviation)
    return Standardization(mean.astype(np.float32), scale.astype(np.float32))


def moments(
    features: np.ndarray, targets: np.ndarray, rows: np.ndarray, standardize: Standardization
) -> tuple[np.ndarray, np.ndarray]:
    """Means of x x^T and x y^T over rows, products in float32, sums in float64.

    Args:
        features: `[N, D]`; x is a standardised row of it.
        targets: `[N, T]`; y is a row of it.
        rows: Which rows, int `[M]`.
        standardize: For the features.

    Returns:
        Float64 `[D, D]` and `[D, T]`.
    """
    second = np.zeros((features.shape[1], features.shape[1]))
    cross = np.zeros((features.shape[1], targets.shape[1]))
    for first in range(0, len(rows), _TILE):
        part = rows[first : first + _TILE]
        tile = standardize(features[part])
        second += tile.T @ tile
        cross += tile.T @ np.asarray(targets[part], np.float32)
    return second / len(rows), cross / len(rows)


@dataclasses.dataclass(frozen=True)
class PrincipalBasis:
    """Principal axes of standardised features.

    Attributes:
        standardize: What comes first.
        vectors: Orthonormal columns `[D, D]`.
        variances: Along each column, `[D]`, >= 0.
    """

    standardize: Standardization
    vectors: np.ndarray
    variances: np.ndarray

    def rotate(self, features: np.ndarray) -> np.ndarray:
        """Returns features `[N, D]` in these coordinates, float32 `[N, D]`."""
        rotated = np.empty(features.shape, np.float32)
        for first in range(0, len(features), _TILE):
            tile = self.standardize(features[first : first + _TILE])
            rotated[first : first + _TILE] = tile @ self.vectors
        return rotated


def principal_basis(features: np.ndarray) -> PrincipalBasis:
    """Returns the principal axes of features `[N, D]`."""
    standardize = standardization(features)
    rows = np.arange(0, len(features), max(1, len(features) // _BASIS_ROWS))
    second, _ = moments(features, features[:, :0], rows, standardize)
    variances, vectors = np.linalg.eigh(second)
    return PrincipalBasis(standardize, vectors.astype(np.float32), np.maximum(variances, 0))
