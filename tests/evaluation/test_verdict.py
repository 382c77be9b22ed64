"""The sentence at the end of an evaluation, and its interval."""

import numpy as np
import pytest

from xsample_tf.evaluation.results import Figure, Score
from xsample_tf.evaluation.verdict import collapse, decide, paired_interval

KNOWN = {
    "caption_cosine": Figure("caption_cosine", "caption cosine of nearest images"),
    "knn_top1": Figure("knn_top1", "kNN top-1 accuracy", "{:.1%}"),
}


def score(per_image):
    return Score(float(np.mean(per_image)), per_image=np.asarray(per_image, float))


def test_the_interval_is_that_of_the_paired_differences():
    generator = np.random.default_rng(0)
    hardness = generator.normal(size=400)
    scores = hardness + 0.1 + 0.2 * generator.normal(size=400)
    interval = paired_interval(scores, hardness)
    difference = scores - hardness
    error = difference.std(ddof=1) / np.sqrt(400)
    np.testing.assert_allclose(interval.mean, difference.mean(), rtol=1e-12)
    # The normal interval; a bootstrap of 2,000 draws comes within a few percent of its width.
    np.testing.assert_allclose(interval.high - interval.low, 2 * 1.96 * error, rtol=0.1)
    np.testing.assert_allclose((interval.high + interval.low) / 2, interval.mean, atol=0.2 * error)
    # Unpaired, it would be seven times as wide.
    assert interval.high - interval.low < 0.3 * hardness.std() / np.sqrt(400) * 2 * 1.96


def test_chunks_change_nothing(monkeypatch):
    scores, zeros = np.random.default_rng(1).normal(size=50), np.zeros(50)
    whole = paired_interval(scores, zeros, draws=200)
    monkeypatch.setattr("xsample_tf.evaluation.verdict._NUMBERS_AT_A_TIME", 50 * 64)
    np.testing.assert_allclose(
        [paired_interval(scores, zeros, draws=200).low], [whole.low], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("shift", "begins"),
    [
        (0.05, "better than the untrained encoder: caption cosine of nearest images +0.05"),
        (-0.05, "worse than the untrained encoder: caption cosine of nearest images -0.05"),
        (0.0, "no clear difference from the untrained encoder: caption cosine of nearest"),
    ],
)
def test_the_sentence_says_what_the_interval_allows(shift, begins):
    noise = np.random.default_rng(2).normal(size=1000, scale=0.05)
    noise -= noise.mean()
    scores = {
        "trained": {"caption_cosine": score(0.3 + shift + noise)},
        "untrained": {"caption_cosine": score(np.full(1000, 0.3))},
    }
    verdict = decide(scores, KNOWN)
    assert verdict["sentence"].startswith(begins)
    assert verdict["sentence"].endswith(
        "± 0.003 (95 % interval, paired bootstrap over 1,000 images)"
    )
    np.testing.assert_allclose(verdict["difference"], shift, atol=1e-12)


def test_labels_decide_where_there_are_no_captions():
    scores = {
        "trained": {"knn_top1": score([1, 1, 1, 0] * 50), "rankme": Score(3.0)},
        "start": {"knn_top1": score([1, 0, 0, 0] * 50), "rankme": Score(2.0)},
    }
    sentence = decide(scores, KNOWN)["sentence"]
    assert sentence.startswith("better than the starting weights: kNN top-1 accuracy +50.0 ± ")
    assert " points (95 % interval" in sentence


def test_without_a_baseline_or_a_deciding_measure_there_is_none():
    assert decide({"trained": {"knn_top1": score([1, 0])}}, KNOWN) is None
    both = {"trained": {"rankme": Score(3.0)}, "untrained": {"rankme": Score(2.0)}}
    assert decide(both, KNOWN) is None


def ranks(trained, before, hits=None):
    """Scores of a trained encoder and of the untrained one, with the effective ranks."""
    found = {"trained": {"rankme": Score(trained)}, "untrained": {"rankme": Score(before)}}
    if hits is not None:
        found["trained"]["knn_top1"] = score(hits)
        found["untrained"]["knn_top1"] = score([1, 0, 0, 0] * 50)
    return found, decide(found, KNOWN)


BETTER, WORSE, SAME = [1, 1, 1, 0] * 50, [0, 0, 0, 0] * 50, [1, 0, 0, 0] * 50


@pytest.mark.parametrize(
    ("trained", "before", "hits", "warned"),
    [
        (1.1, 20.0, WORSE, True),
        (9.0, 20.0, SAME, True),
        (9.0, 20.0, BETTER, False),  # Few classes, told apart well.
        (11.0, 20.0, WORSE, False),  # Worse for another reason.
        (80.0, 20.0, WORSE, False),  # The rank grows.
        (1.0, 1.2, WORSE, False),
        (9.0, 20.0, None, False),  # Nothing says whether it is better.
        (1.9, 20.0, None, True),
        (1.1, 5.0, None, True),
        (3.0, 5.0, None, False),
    ],
)
def test_a_collapse_is_a_rank_that_falls_without_use(trained, before, hits, warned):
    found = collapse(*ranks(trained, before, hits))
    assert (found is not None) == warned
    if warned:
        assert found.startswith(f"collapse: the effective rank is {trained:.1f}, that of the ")
        assert f"untrained encoder {before:.1f}" in found and "tools/inspect_graph.py" in found


def test_without_a_baseline_or_a_rank_there_is_no_warning():
    assert collapse({"trained": {"rankme": Score(1.0)}}, None) is None
    found = {"trained": {"rankme": Score(None)}, "start": {"rankme": Score(9.0)}}
    assert collapse(found, None) is None
    found = {"trained": {"rankme": Score(1.0)}, "start": {"rankme": Score(90.0)}}
    assert "that of the starting weights 90.0" in collapse(found, None)
