"""Moments of large feature matrices, a tile of rows at a time."""

import dataclasses

import numpy as np

_TILE = 16384
# Rows that the principal axes are computed from: they only serve as coordinates.
_BASIS_ROWS = 65536


def moments(
    features: np.ndarray, targets: np.ndarray, rows: np.ndarray | slice = slice(None)
) -> tuple[np.ndarray, np.ndarray]:
    """Means of x x^T and x y^T over rows, products in float32, sums in float64.

    Args:
        features: `[N, D]`.
        targets: `[N, T]`.
        rows: Which rows; all by default.

    Returns:
        Float64 `[D, D]` and `[D, T]`.
    """
    chosen = np.arange(len(features))[rows]
    second = np.zeros((features.shape[1], features.shape[1]))
    cross = np.zeros((features.shape[1], targets.shape[1]))
    for first in range(0, len(chosen), _TILE):
        part = chosen[first : first + _TILE]
        tile = np.asarray(features[part], np.float32)
        second += tile.T @ tile
        cross += tile.T @ np.asarray(targets[part], np.float32)
    return second / len(chosen), cross / len(chosen)


def standardization(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation float32 `[D]` of `[N, D]`; a constant feature has deviation 1."""
    mean = np.mean(features, axis=0, dtype=np.float64)
    square = np.zeros(features.shape[1])
    for first in range(0, len(features), _TILE):
        square += np.sum((features[first : first + _TILE] - mean) ** 2, axis=0)
    deviation = np.sqrt(square / len(features))
    constant = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    return mean.astype(np.float32), np.where(constant, 1, deviation).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class PrincipalBasis:
    """Principal axes of standardised features.

    Attributes:
        mean: `[D]`.
        scale: Standard deviations `[D]`.
        vectors: Orthonormal columns `[D, D]`.
        variances: Along each column, `[D]`, >= 0.
    """

    mean: np.ndarray
    scale: np.ndarray
    vectors: np.ndarray
    variances: np.ndarray

    def rotate(self, features: np.ndarray) -> np.ndarray:
        """Returns features `[N, D]` in these coordinates, float32 `[N, D]`."""
        rotated = np.empty(features.shape, np.float32)
        for first in range(0, len(features), _TILE):
            tile = (features[first : first + _TILE] - self.mean) / self.scale
            rotated[first : first + _TILE] = tile @ self.vectors
        return rotated


def principal_basis(features: np.ndarray) -> PrincipalBasis:
    """Returns the principal axes of features `[N, D]`."""
    mean, scale = standardization(features)
    step = max(1, len(features) // _BASIS_ROWS)
    standardized = (features[::step] - mean) / scale
    second, _ = moments(standardized, standardized[:, :0])
    variances, vectors = np.linalg.eigh(second)
    return PrincipalBasis(mean, scale, vectors.astype(np.float32), np.maximum(variances, 0))
