import numpy as np
import pytest
import tensorflow as tf

from xsample_tf.evaluation import accuracy, fit_linear_probe
from xsample_tf.evaluation.probes.lbfgs import minimize


def clusters(count, classes, size, spread, seed=0):
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(99).normal(size=(classes, size))
    labels = random.integers(0, classes, count)
    mix = np.random.default_rng(98).normal(size=(size, size)) / size**0.5
    features = (centers[labels] + spread * random.normal(size=(count, size))) @ mix
    return (5 + 3 * features).astype(np.float32), labels


def softmax_gradient(features, labels, classes, weights, bias, weight_decay):
    """Gradient of the regularised mean cross-entropy in float64."""
    logits = features @ weights + bias
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    error = (share - np.eye(classes)[labels]) / len(features)
    return features.T @ error + weight_decay * weights, error.sum(axis=0)


@pytest.mark.parametrize("weight_decay", [1e-1, 1e-3])
def test_the_solution_is_the_minimum(weight_decay):
    features, labels = clusters(600, 5, 12, spread=1.0)
    probe = fit_linear_probe(features, labels, 5, weight_decays=(weight_decay,))
    standardized = (features.astype(float) - features.mean(0)) / features.std(0)
    at_solution = softmax_gradient(standardized, labels, 5, probe.weights, probe.bias, weight_decay)
    at_zero = softmax_gradient(standardized, labels, 5, np.zeros((12, 5)), np.zeros(5), 0)
    for found, start in zip(at_solution, at_zero, strict=True):
        assert np.abs(found).max() < 5e-3 * max(np.abs(start).max(), 0.1)


def test_scores_are_those_of_standardised_features():
    features, labels = clusters(300, 4, 6, spread=1.0)
    probe = fit_linear_probe(features, labels, 4)
    by_hand = ((features - features.mean(0)) / features.std(0)) @ probe.weights + probe.bias
    np.testing.assert_allclose(probe.scores(features), by_hand, atol=1e-3)


def test_separable_classes_are_learned_and_generalise():
    train, val = clusters(800, 8, 24, spread=0.15), clusters(300, 8, 24, spread=0.15, seed=1)
    probe = fit_linear_probe(*train, 8)
    assert accuracy(probe.scores(val[0]), val[1]) == 1.0


def test_random_labels_stay_near_chance():
    random = np.random.default_rng(3)
    features, labels = random.normal(size=(500, 100)), random.integers(0, 4, 500)
    probe = fit_linear_probe(features, labels, 4)
    score = accuracy(probe.scores(random.normal(size=(800, 100))), random.integers(0, 4, 800))
    assert 0.15 < score < 0.35


def test_same_seed_same_probe():
    features, labels = clusters(200, 3, 8, spread=1.0)
    first, second = (fit_linear_probe(features, labels, 3, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.weights, second.weights)
    assert first.weight_decay == second.weight_decay


def test_constant_and_repeated_features_and_absent_classes_do_no_harm():
    features, labels = clusters(300, 3, 6, spread=0.2)
    features = np.concatenate([features, features, np.full((300, 2), 7, np.float32)], axis=1)
    probe = fit_linear_probe(features, labels, classes=9)
    assert np.isfinite(probe.scores(features)).all()
    assert accuracy(probe.scores(features), labels) > 0.99


def test_an_encoder_that_says_nothing_gives_a_probe_that_says_nothing():
    labels = np.arange(60) % 3
    probe = fit_linear_probe(np.ones((60, 4), np.float32), labels, 3)
    assert accuracy(probe.scores(np.ones((60, 4))), labels) <= 0.4


def test_lbfgs_solves_an_ill_conditioned_quadratic():
    scale = tf.constant(np.logspace(0, 2, 20), tf.float32)
    target = tf.constant(np.random.default_rng(0).normal(size=20), tf.float32)

    def value_and_gradient(point):
        return tf.reduce_sum(scale * (point - target) ** 2) / 2, scale * (point - target)

    found = minimize(value_and_gradient, tf.zeros(20), tolerance=1e-7)
    np.testing.assert_allclose(found, target, atol=1e-2)
