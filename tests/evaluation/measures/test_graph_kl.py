import numpy as np
import pytest
from helpers import frozen_features, reference

from xsample_tf.evaluation import MEASURES, graph_divergence


def divergence_by_hand(features, captions, temperature, target_temperature):
    """KL of each image in float64, one softmax over the other images at a time."""
    z, c = reference.unit(features), reference.unit(captions)
    result = []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        p = reference.softmax_over(z @ z[i] / temperature, others)
        s = reference.softmax_over(c @ c[i] / target_temperature, others)
        result.append(sum(s[j] * np.log(s[j] / p[j]) for j in others))
    return result


def test_divergence_agrees_with_the_definition():
    random = np.random.default_rng(0)
    features, captions = random.normal(size=(12, 5)), random.normal(size=(12, 7))
    kl, _ = graph_divergence(features, captions, 0.2, 0.3)
    assert kl == pytest.approx(np.mean(divergence_by_hand(features, captions, 0.2, 0.3)), rel=1e-5)


def test_the_last_batch_is_filled_up_and_each_image_counts_once():
    random = np.random.default_rng(1)
    features, captions = random.normal(size=(10, 4)), random.normal(size=(10, 4))
    first = divergence_by_hand(features[:6], captions[:6], 0.1, 0.1)
    last = divergence_by_hand(features[4:], captions[4:], 0.1, 0.1)[2:]
    kl, _ = graph_divergence(features, captions, batch=6)
    assert kl == pytest.approx(np.mean(first + last), rel=1e-5)


def test_divergence_is_zero_for_the_graph_itself_and_chance_for_equal_embeddings():
    captions = np.random.default_rng(2).normal(size=(20, 6))
    assert graph_divergence(3 * captions, captions)[0] == pytest.approx(0, abs=1e-5)
    kl, uniform = graph_divergence(np.ones((20, 3)), captions)
    assert kl == pytest.approx(uniform, rel=1e-5)


def test_the_measure_is_of_the_projection_and_of_each_image():
    features = frozen_features.splits(
        project=lambda x: x[:, :2], temperature=0.2, target_temperature=0.3
    )
    score = MEASURES.make("kl", values={}).run(features)["kl"]
    projected, captions = features.val.embeddings[:, :2], features.val.captions
    by_hand = divergence_by_hand(projected, captions, 0.2, 0.3)
    np.testing.assert_allclose(score.per_image, by_hand, rtol=1e-4, atol=1e-5)
    expected = graph_divergence(projected, captions, 0.2, 0.3)
    assert (score.value, score.chance) == expected
