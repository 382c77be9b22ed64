import numpy as np
import pytest
from helpers import frozen_features
from hypothesis import given, settings
from hypothesis import strategies as st

from xsample_tf.evaluation import MEASURES, rankme


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


def test_the_measure_is_of_the_embeddings_of_val():
    features = frozen_features.splits(project=lambda x: x[:, :1])
    score = MEASURES.make("rankme", values={}).run(features)["rankme"]
    assert score.value == rankme(features.val.embeddings) > 3
    assert score.chance is None and score.per_image is None
