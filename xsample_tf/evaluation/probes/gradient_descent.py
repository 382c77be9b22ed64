"""Linear probe by gradient descent, for sets that are too large for L-BFGS.

Classifiers of all rates of the grid are fitted at once: features are read once an epoch.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.evaluation.linear_algebra import Standardization, standardization
from xsample_tf.evaluation.probes.logistic_regression import LinearProbe
from xsample_tf.evaluation.ranking import accuracy
from xsample_tf.progress import Progress, say
from xsample_tf.registry import Option

SGD_EPOCHS = Option(
    "sgd_epochs", 90, "Passes over the features of the linear probe by gradient descent.", minimum=1
)
RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # For 256 images.
_BATCH = 4096
_MOMENTUM = 0.9
_DECAY = 1e-6
MOST_HELD = 10_000  # Images that rates are compared on.
_TILE = 8192


def fit_by_gradient_descent(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    rates: Sequence[float] = RATES,
    epochs: int = 90,
    batch_size: int = _BATCH,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> LinearProbe:
    """Fits a linear classifier for each rate of a grid, and returns the best on held-out images.

    SimCLR's rule (arXiv 2002.05709, appendix B.6) on features that are stored, hence of images
    without augmentation: Nesterov momentum 0.9, rate x batch / 256 falling to 0 by a cosine without
    warm-up, weight decay 1e-6 on the weights, weights from 0. Features are standardised first, so
    that one grid serves all encoders. A tenth of the images, at most 10,000, is held out, and no
    classifier sees it.

    Args:
        features: Float `[N, D]`, of any precision; may be mapped from a file.
        labels: Int `[N]`, 0 .. classes - 1.
        classes: Number of classes C.
        rates: Rates for 256 images. Defaults to 0.01, 0.03, 0.1, 0.3, 1 and 3.
        epochs: Passes over the features. Defaults to 90.
        batch_size: Images in a step, at most all that are not held out. Defaults to 4096.
        seed: Of the order and of what is held out. Defaults to 0.
        log: Receives lines on how far it is, and on a best rate at an end of the grid.

    Raises:
        InputError: Fewer than two images, or no rate above 0.

    Example:
        >>> probe = fit_by_gradient_descent(train_features, train_labels, 1000)
        >>> accuracy(probe.scores(val_features), val_labels)
    """
    if len(features) < 2 or not rates or min(rates) <= 0:
        raise InputError(
            f"linear_sgd: expected 2 images or more and rates above 0, received {len(features)} "
            f"images and rates {tuple(rates)}"
        )
    standardize = standardization(features)
    random = np.random.default_rng(seed)
    count = min(max(1, len(features) // 10), MOST_HELD)
    held, kept = np.split(random.permutation(len(features)), [count])
    batch_size = min(batch_size, len(kept))
    problem = Classifiers(features.shape[1], classes, rates, batch_size)
    steps = epochs * (len(kept) // batch_size)
    with Progress("linear probe by gradient descent", steps, "steps", log) as progress:
        for step in range(steps):
            place = step * batch_size % (len(kept) // batch_size * batch_size)
            if place == 0:
                order = random.permutation(kept)
            rows = np.sort(order[place : place + batch_size])  # In the order of a file.
            problem.step(standardize(features[rows]), labels[rows], cosine(step / steps))
            progress.advance()
    parts = np.split(held, range(_TILE, len(held), _TILE))
    held_features = (standardize(features[part]) for part in parts)
    return problem.best(held_features, labels[held], standardize, epochs, "linear_sgd", log)


def cosine(done: float) -> float:
    """Returns the share of the rate that is left when a share of the steps is done."""
    return 0.5 * (1 + math.cos(math.pi * done))


class Classifiers:
    """R linear classifiers side by side, each with its rate, by SimCLR's rule.

    Args:
        size: D.
        classes: C.
        rates: For 256 images.
        batch_size: Images in a step.
    """

    def __init__(self, size: int, classes: int, rates: Sequence[float], batch_size: int):
        self._per_256, self._batch_size, self._classes = tuple(rates), batch_size, classes
        self.rates = np.array(rates) * batch_size / 256
        count = len(rates) * classes
        self._weights, self._bias = (tf.Variable(tf.zeros(s)) for s in ([size, count], [count]))
        self._moved, self._moved_bias = (tf.Variable(tf.zeros_like(v)) for v in self._variables)
        self._column_rates = tf.constant(np.repeat(self.rates, classes), tf.float32)
        self._update = tf.function(self._update_variables, reduce_retracing=True)

    @property
    def _variables(self) -> tuple[tf.Variable, tf.Variable]:
        return self._weights, self._bias

    def step(self, features: np.ndarray, labels: np.ndarray, share: float) -> None:
        """Moves all classifiers by a batch `[b, D]`, labels `[b]`, at a share of their rates."""
        self._update(tf.constant(features), tf.constant(labels, tf.int32), tf.constant(share))

    def scores(self, features: np.ndarray) -> list[np.ndarray]:
        """Returns logits `[N, C]` of each classifier; -inf where one has diverged."""
        logits = (tf.matmul(features, self._weights) + self._bias).numpy()
        logits = np.where(np.isfinite(logits), logits, -np.inf)
        return np.split(logits, len(self.rates), axis=1)

    def best(
        self,
        held: Iterable[np.ndarray],
        labels: np.ndarray,
        standardize: Standardization,
        epochs: int,
        name: str,
        log: Callable[[str], None],
    ) -> LinearProbe:
        """Returns the classifier that is right most often on images that none has seen.

        Args:
            held: Their features, in parts `[n, D]`, standardised.
            labels: Their labels `[N]`.
            standardize: What comes before the classifiers.
            epochs: How many were taken.
            name: Of the probe, for messages.
            log: Receives a line where the best rate is at an end of the grid.
        """
        found = [
            accuracy(np.concatenate(scores), labels)
            for scores in zip(*(self.scores(part) for part in held), strict=True)
        ]
        best, rates = int(np.argmax(found)), self._per_256
        if best in (0, len(rates) - 1) and len(rates) > 1:
            say(log, f"{name}: the best rate, {rates[best]:g}, is at an end of the grid {rates}")
        columns = slice(best * self._classes, (best + 1) * self._classes)
        text = (
            f"SGD, rate {rates[best]:g} for 256 images ({self.rates[best]:g} for "
            f"{self._batch_size}), {epochs} epochs"
        )
        weights, bias = self._weights.numpy()[:, columns], self._bias.numpy()[columns]
        return LinearProbe(weights, bias, standardize, _DECAY, text)

    def _update_variables(self, features: tf.Tensor, labels: tf.Tensor, share: tf.Tensor) -> None:
        logits = tf.matmul(features, self._weights) + self._bias
        chance = tf.nn.softmax(tf.reshape(logits, [-1, len(self.rates), self._classes]))
        error = chance - tf.one_hot(labels, self._classes)[:, None]
        error = tf.reshape(error, tf.shape(logits)) / tf.cast(tf.shape(logits)[0], tf.float32)
        gradients = (
            tf.matmul(features, error, transpose_a=True) + _DECAY * self._weights,
            tf.reduce_sum(error, axis=0),
        )
        moved = (self._moved, self._moved_bias)
        for variable, past, gradient in zip(self._variables, moved, gradients, strict=True):
            past.assign(_MOMENTUM * past + gradient)
            variable.assign_sub(share * self._column_rates * (gradient + _MOMENTUM * past))
