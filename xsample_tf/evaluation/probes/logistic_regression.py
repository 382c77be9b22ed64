"""Linear probe: multinomial logistic regression on frozen features."""

import dataclasses

import numpy as np
import tensorflow as tf

from xsample_tf.evaluation import linear_algebra
from xsample_tf.evaluation.probes.lbfgs import minimize
from xsample_tf.evaluation.ranking import accuracy

# Strong to weak, so that each fit starts from a smoother one's solution; ties take the strongest.
WEIGHT_DECAYS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
_TILE = 8192


@dataclasses.dataclass(frozen=True)
class LinearProbe:
    """A fitted linear classifier.

    Attributes:
        weights: Float32 `[D, C]`, on standardised features.
        bias: Float32 `[C]`.
        standardize: By the training features.
        weight_decay: The one chosen on the held-out part of the training set.
        text: How it was fitted, for results.
    """

    weights: np.ndarray
    bias: np.ndarray
    standardize: linear_algebra.Standardization
    weight_decay: float
    text: str = "linear classifier"

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Returns logits float32 `[N, C]` of features `[N, D]`."""
        return self.standardize(features) @ self.weights + self.bias


def fit_linear_probe(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    weight_decays: tuple[float, ...] = WEIGHT_DECAYS,
    seed: int = 0,
) -> LinearProbe:
    """Fits logistic regression; the weight decay is chosen on a held-out tenth of these rows.

    Minimises mean cross-entropy + weight_decay / 2 |W|^2 over standardised features, the bias free,
    by L-BFGS over the whole set, a tile of rows at a time; the chosen decay is fitted again on all
    rows. The paper's own recipe is not known (arXiv 2407.18134); frozen features under an L2 sweep
    is the protocol of arXiv 2103.00020, appendix A.3.

    Args:
        features: Float `[N, D]`.
        labels: Int `[N]`, 0 .. classes - 1.
        classes: Number of classes C.
        weight_decays: Candidates.
        seed: Of the held-out tenth; same seed, same probe.

    Example:
        >>> probe = fit_linear_probe(train_features, train_labels, classes=100)
        >>> accuracy(probe.scores(val_features), val_labels)
    """
    basis = linear_algebra.principal_basis(features)
    rotated = basis.rotate(features)
    order = np.random.default_rng(seed).permutation(len(features))
    held, kept = np.split(order, [max(1, len(order) // 10)])
    problem = _Problem(rotated, labels, kept, classes, basis.variances)
    solution = problem.start()
    best, worse = (-1.0, weight_decays[0], solution), 0
    for weight_decay in weight_decays:
        solution = problem.solve(weight_decay, solution)
        score = accuracy(rotated[held] @ solution[:-1] + solution[-1], labels[held])
        worse = 0 if score > best[0] else worse + 1
        if not worse:
            best = (score, weight_decay, solution)
        elif worse == 2:
            break  # Accuracy has a single peak along the path, and weak decays take longest.
    _, weight_decay, solution = best
    del problem  # Its copy of the rows, before the next one is made.
    problem = _Problem(rotated, labels, order, classes, basis.variances)
    solution = problem.solve(weight_decay, solution)
    weights = basis.vectors @ solution[:-1]
    text = f"logistic regression by L-BFGS, weight decay {weight_decay:g}"
    return LinearProbe(weights, solution[-1], basis.standardize, weight_decay, text)


class _Problem:
    """Regularised cross-entropy of rows in the principal basis; solutions are `[D + 1, C]`."""

    def __init__(
        self,
        rotated: np.ndarray,
        labels: np.ndarray,
        rows: np.ndarray,
        classes: int,
        variances: np.ndarray,
    ):
        self._count, self._classes = len(rows), classes
        self._variances = np.append(variances, 1.0)
        # On the host: a tile is on the accelerator only while it is used.
        with tf.device("CPU"):
            self._tiles = [
                (tf.constant(rotated[part]), tf.constant(labels[part], tf.int32))
                for part in np.split(rows, range(_TILE, len(rows), _TILE))
            ]

    def start(self) -> np.ndarray:
        return np.zeros((len(self._variances), self._classes), np.float32)

    def solve(self, weight_decay: float, start: np.ndarray) -> np.ndarray:
        """Returns the minimum for `weight_decay`, sought from `start`."""
        penalty = np.full(len(self._variances), weight_decay)
        penalty[-1] = 0
        # In these units the curvature is about 1 along every principal axis.
        units = 1 / np.sqrt(self._variances / self._classes + penalty + 1e-12)
        units = tf.constant(units[:, None], tf.float32)
        penalty = tf.constant(penalty[:, None], tf.float32)

        def value_and_gradient(scaled: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            weights = units * scaled
            value, gradient = tf.constant(0.0), tf.zeros_like(weights)
            for rows, labels in self._tiles:
                tile_value, tile_gradient = _cross_entropy(rows, labels, weights)
                value, gradient = value + tile_value, gradient + tile_gradient
            value = value / self._count + tf.reduce_sum(penalty * weights**2) / 2
            return value, units * (gradient / self._count + penalty * weights)

        return (units * minimize(value_and_gradient, tf.constant(start) / units)).numpy()


@tf.function(reduce_retracing=True)
def _cross_entropy(
    rows: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum over rows of the cross-entropy, and its gradient in `weights` `[D + 1, C]`."""
    logits = tf.matmul(rows, weights[:-1]) + weights[-1]
    value = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    error = tf.nn.softmax(logits) - tf.one_hot(labels, tf.shape(weights)[1])
    gradient = tf.concat(
        [tf.matmul(rows, error, transpose_a=True), tf.reduce_sum(error, 0, keepdims=True)], axis=0
    )
    return tf.reduce_sum(value), gradient
