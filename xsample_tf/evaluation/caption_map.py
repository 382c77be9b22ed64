"""A linear map from images to captions, fitted on frozen features."""

import dataclasses

import numpy as np

from xsample_tf.arrays import unit_rows
from xsample_tf.evaluation import linear_algebra

# Shares of the features' mean variance.
RIDGE_PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclasses.dataclass(frozen=True)
class CaptionMap:
    """Takes features and caption vectors into one space, where images are near their captions.

    Attributes:
        standardize: What comes before the map.
        weights: Float32 `[D, T]`, from standardised features to caption vectors about `center`.
        center: The mean training caption, float32 `[T]`.
    """

    standardize: linear_algebra.Standardization
    weights: np.ndarray
    center: np.ndarray

    def of_images(self, features: np.ndarray) -> np.ndarray:
        """Returns unit vectors float32 `[N, T]` of features `[N, D]`."""
        return unit_rows(self.standardize(features) @ self.weights)

    def of_captions(self, vectors: np.ndarray) -> np.ndarray:
        """Returns unit vectors float32 `[K, T]` of caption vectors `[K, T]` of any length."""
        return unit_rows(unit_rows(np.asarray(vectors, np.float32)) - self.center)

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns kernel float32 `[D, T]` and bias `[T]`: the map of features as they come."""
        kernel = self.weights / self.standardize.scale[:, None]
        return kernel, -(self.standardize.mean @ kernel)


def fit_caption_map(features: np.ndarray, captions: np.ndarray, seed: int = 0) -> CaptionMap:
    """Fits the map by ridge regression, its penalty chosen on a held-out tenth by squared error.

    Args:
        features: `[M, D]`, of training images.
        captions: `[M, T]`, a caption vector of each, of any length.
        seed: Of the held-out tenth. Defaults to 0.

    Example:
        >>> fit_caption_map(train_features, train_captions).of_images(val_features).shape
        (1000, 384)
    """
    standardize = linear_algebra.standardization(features)
    captions = unit_rows(np.asarray(captions, np.float32))
    center = np.mean(captions, axis=0)
    weights = _ridge(features, captions - center, standardize, seed)
    return CaptionMap(standardize, weights, center)


def _ridge(
    features: np.ndarray,
    targets: np.ndarray,
    standardize: linear_algebra.Standardization,
    seed: int,
) -> np.ndarray:
    """Weights float32 `[D, T]` from standardised features to centred targets `[M, T]`."""
    order = np.random.default_rng(seed).permutation(len(features))
    held, kept = np.split(order, [max(1, len(order) // 10)])
    second, cross = linear_algebra.moments(features, targets, kept, standardize)
    held_features = standardize(features[held])
    errors = []
    for penalty in RIDGE_PENALTIES:
        weights = _solve_ridge(second, cross, penalty)
        errors.append(np.mean((held_features @ weights - targets[held]) ** 2))
    best = RIDGE_PENALTIES[int(np.argmin(errors))]
    second, cross = linear_algebra.moments(features, targets, order, standardize)
    return _solve_ridge(second, cross, best)


def _solve_ridge(second: np.ndarray, cross: np.ndarray, penalty: float) -> np.ndarray:
    size = len(second)
    # The floor keeps features that are all constant solvable.
    diagonal = penalty * max(np.trace(second) / size, 1e-12) * np.eye(size)
    return np.linalg.solve(second + diagonal, cross).astype(np.float32)
