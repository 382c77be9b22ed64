import math

import numpy as np
import pytest

from xsample_tf.errors import InputError
from xsample_tf.evaluation import accuracy
from xsample_tf.evaluation.probes.gradient_descent import fit_by_gradient_descent


def clusters(count=220, classes=4, size=6, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    centers = 1.5 * random.normal(size=(classes, size))
    features = centers[labels] + random.normal(size=(count, size))
    return (3 + 10 * features).astype(np.float32), labels


def reference(features, labels, classes, rate, epochs, batch, seed):
    """SimCLR's rule in float64, one classifier: weights and bias on standardised features."""
    x = (features - features.mean(axis=0)) / features.std(axis=0)
    random = np.random.default_rng(seed)
    kept = random.permutation(len(x))[len(x) // 10 :]
    weights, moved = np.zeros((x.shape[1] + 1, classes)), 0
    per_epoch = len(kept) // batch
    for step in range(epochs * per_epoch):
        if step % per_epoch == 0:
            order = random.permutation(kept)
        rows = order[step % per_epoch * batch :][:batch]
        inputs = np.append(x[rows], np.ones((batch, 1)), axis=1)
        logits = inputs @ weights
        chance = np.exp(logits - logits.max(axis=1, keepdims=True))
        chance /= chance.sum(axis=1, keepdims=True)
        gradient = inputs.T @ (chance - np.eye(classes)[labels[rows]]) / batch
        gradient[:-1] += 1e-6 * weights[:-1]
        moved = 0.9 * moved + gradient
        share = 0.5 * (1 + math.cos(math.pi * step / (epochs * per_epoch)))
        weights = weights - share * rate * batch / 256 * (gradient + 0.9 * moved)
    return weights[:-1], weights[-1]


def fit(features, labels, rates, epochs=3, seed=1, log=lambda line: None):
    return fit_by_gradient_descent(features, labels, 4, rates, epochs, 64, seed, log)


@pytest.mark.parametrize("rate", [0.1, 3.0])
def test_each_classifier_of_the_grid_follows_the_rule_on_its_own(rate):
    features, labels = clusters()
    found = fit(features, labels, [rate])
    weights, bias = reference(features.astype(float), labels, 4, rate, 3, 64, 1)
    np.testing.assert_allclose(found.weights, weights, atol=2e-5)
    np.testing.assert_allclose(found.bias, bias, atol=2e-5)


def test_the_grid_gives_the_classifier_of_the_rate_that_is_best_on_held_out_images():
    features, labels = clusters()
    held = np.random.default_rng(1).permutation(len(features))[:22]
    rates = [1e-4, 0.1, 1.0]
    alone = [fit(features, labels, [rate]) for rate in rates]
    scores = [accuracy(one.scores(features[held]), labels[held]) for one in alone]
    found = fit(features, labels, rates)
    best = alone[int(np.argmax(scores))]
    np.testing.assert_allclose(found.weights, best.weights, atol=1e-6)
    assert found.text == best.text and "3 epochs" in found.text
    assert "rate 0.1 for 256 images (0.025 for 64)" in alone[1].text


def test_a_rate_that_diverges_is_not_chosen_and_an_end_of_the_grid_is_said():
    features, labels = clusters()
    lines = []
    found = fit(features, labels, [0.3, 1e30], log=lines.append)
    assert np.isfinite(found.weights).all()
    assert "rate 0.3" in found.text and "at an end of the grid" in lines[-1]


def test_features_of_half_precision_on_disk_will_do(tmp_path):
    features, labels = clusters()
    np.save(tmp_path / "features.npy", features.astype(np.float16))
    stored = np.load(tmp_path / "features.npy", mmap_mode="r")
    found = fit(stored, labels, [0.3], epochs=20)
    assert accuracy(found.scores(features), labels) > 0.9


@pytest.mark.parametrize(("count", "rates"), [(1, [0.1]), (9, []), (9, [0.0])])
def test_what_cannot_be_fitted_is_refused(count, rates):
    features, labels = clusters(count)
    with pytest.raises(InputError, match="linear_sgd: expected 2 images or more and rates above 0"):
        fit(features, labels, rates)
