import numpy as np
import pytest
from helpers import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from xsample_tf.evaluation import caption_cosine, caption_recall, graph_divergence, rankme


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


def test_caption_cosine_and_its_chance_agree_with_loops():
    random = np.random.default_rng(3)
    gallery, captions = random.normal(size=(9, 4)), random.normal(size=(5, 4))
    neighbours = random.integers(0, 9, (5, 3))
    unit_gallery, unit = reference.unit(gallery), reference.unit(captions)
    found = [unit[q] @ unit_gallery[j] for q in range(5) for j in neighbours[q]]
    pairs = [unit[q] @ unit_gallery[j] for q in range(5) for j in range(9)]
    assert caption_cosine(neighbours, gallery, captions) == pytest.approx(
        (np.mean(found), np.mean(pairs)), abs=1e-6
    )


def linear_world(count, seed, noise=0.0):
    random = np.random.default_rng(seed)
    mix = np.random.default_rng(77).normal(size=(10, 16))
    captions = random.normal(size=(count, 10)) + 2
    captions /= np.linalg.norm(captions, axis=1, keepdims=True)
    return 4 + captions @ mix + noise * random.normal(size=(count, 16)), captions


def test_a_linear_relation_is_recalled_and_noise_lowers_it():
    train, val = linear_world(400, 0), linear_world(100, 1)
    recall, distinct = caption_recall(*train, *val)
    assert recall == {1: 1.0, 5: 1.0, 10: 1.0} and distinct == 100
    noisy, _ = caption_recall(*linear_world(400, 0, 1.0), *linear_world(100, 1, 1.0))
    assert noisy[1] < noisy[5] < noisy[10] < 1


def test_recall_of_meaningless_features_is_chance():
    random = np.random.default_rng(5)
    recall, distinct = caption_recall(
        random.normal(size=(300, 8)),
        random.normal(size=(300, 6)),
        random.normal(size=(1000, 8)),
        random.normal(size=(1000, 6)),
        ranks=(100,),
    )
    assert recall[100] == pytest.approx(100 / distinct, abs=0.04)


def test_equal_captions_count_as_one_and_equal_images_recall_nothing():
    captions = np.repeat(np.eye(4), 25, axis=0)
    recall, distinct = caption_recall(captions * 3, captions, captions * 3, captions)
    assert distinct == 4 and recall[1] == 1
    assert caption_recall(np.ones((100, 3)), captions, np.ones((100, 3)), captions)[0][1] == 0


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 99))
def test_rankme_agrees_with_the_singular_values(count, size, seed):
    features = np.random.default_rng(seed).normal(size=(count, size)) + 1
    sigma = np.linalg.svd(features, compute_uv=False)
    share = sigma / sigma.sum()
    assert rankme(features) == pytest.approx(np.exp(-np.sum(share * np.log(share))), rel=1e-4)


def test_rankme_at_its_limits():
    assert rankme(np.eye(7)) == pytest.approx(7)
    assert rankme(np.outer(np.arange(1, 9), [1, 2, 3])) == pytest.approx(1, abs=1e-5)
    assert rankme(np.zeros((5, 3))) == 1
