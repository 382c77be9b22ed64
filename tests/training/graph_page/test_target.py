"""What the page's script computes, executed, against the loss's own statistics."""

import json

import numpy as np
import pytest
from helpers import browser, reference

from xsample_tf import graphs, pages
from xsample_tf.losses import solve_target_temperature, summarize_target
from xsample_tf.training.graph_page.similarities import group

# (images in a batch, target temperature, views, exclude_self, sides)
SETTINGS = [
    (200, 0.02, 2, True, 1),
    (200, 0.1, 2, True, 1),
    (200, 0.1, 4, False, 1),
    (200, 1.0, 2, True, 1),
    (200, 0.0, 3, True, 1),
    (200, 0.1, 1, True, 2),
    (60, 0.05, 2, True, 1),
    (60, 0.2, 2, False, 1),
]
CALL = """(() => {
  const groups = { values: Float32Array.from(given.values), counts: Uint16Array.from(given.counts),
    ends: given.ends };
  const sizes = [30, 60, 200, 995], batches = target.drawBatches(groups, sizes, 7);
  const found = given.settings.map(([size, temperature, views, excludeSelf, sides]) => {
    const options = target.candidates(views, excludeSelf, sides);
    const one = target.statistics(groups, batches[sizes.indexOf(size)], temperature, options, 1e-4);
    return [Array.from(one.mass), Array.from(one.entropy)];
  });
  const options = target.candidates(2, true, 1);
  return { found, solved: target.solve(groups, batches[2], 0.5, options, 1e-4),
    never: target.solve(groups, batches[2], 0.999999, target.candidates(2, false, 1), 1e-4),
    counts: batches.map(({ counts, scale }) => [Array.from(counts), scale]),
    band: target.summarize([4, 1, 3, 2, 0]) };
})()"""


@pytest.fixture(scope="module")
def captions():
    """200 vectors in loose clusters, of which five are the same."""
    random = np.random.default_rng(3)
    centres = random.normal(size=(12, 16))
    vectors = centres[random.integers(12, size=200)] + 0.7 * random.normal(size=(200, 16))
    vectors[:5] = vectors[0]
    return reference.unit(vectors)


@pytest.fixture(scope="module")
def similarities(captions):
    """Each image's similarities to the 199 others."""
    pairs = captions @ captions.T
    return pairs[~np.eye(200, dtype=bool)].reshape(200, 199).astype(np.float32)


@pytest.fixture(scope="module")
def computed(similarities, repository, tmp_path_factory):
    values, counts, ends = group(similarities)
    given = {"values": values.tolist(), "counts": counts.tolist(), "ends": ends.tolist()}
    code = pages.read_part("xsample_tf.training.graph_page", "target.js")
    code += f"\nconst given = {json.dumps(given | {'settings': SETTINGS})};"
    return browser.run_script(code, CALL, tmp_path_factory.mktemp("script"))


def brute_force(similarities, temperature, views, exclude_self, sides):
    """Mass and entropy of one anchor whose batch has these others, candidate by candidate."""
    own = 1 if sides == 2 else views - exclude_self
    each, true = (1, 1) if sides == 2 else (views, views - 1)
    every = np.concatenate([np.ones(own), np.repeat(similarities.astype(np.float64), each)])
    weight = np.exp((every - 1) / temperature) if temperature else (every >= 1 - 1e-4) * 1.0
    share = weight / weight.sum()
    entropy = -np.sum(share[share > 0] * np.log(share[share > 0]))
    return share[:true].sum(), entropy


@pytest.mark.parametrize("number", range(6))
def test_the_whole_sample_as_a_batch_is_what_the_loss_uses(
    computed, captions, similarities, number
):
    _, temperature, *candidates = SETTINGS[number]
    mass, entropy = computed["found"][number]
    expected = [brute_force(row, temperature, *candidates) for row in similarities]
    # The bins of the smaller similarities are all that is not exact.
    np.testing.assert_allclose(mass, [one for one, _ in expected], rtol=2e-3)
    np.testing.assert_allclose(entropy, [one for _, one in expected], rtol=2e-3, atol=1e-6)
    summary = summarize_target(graphs.CosineGraph(), captions, temperature, *candidates)
    assert np.mean(mass) == pytest.approx(summary.own_mass, rel=1e-3)
    assert np.mean(entropy) == pytest.approx(summary.entropy, rel=1e-3)
    assert np.exp(np.mean(entropy)) == pytest.approx(summary.effective_positives, rel=2e-3)


@pytest.mark.parametrize("number", [6, 7])
def test_smaller_batches_are_as_the_loss_finds_them(computed, captions, number):
    size, temperature, *candidates = SETTINGS[number]
    random = np.random.default_rng(0)
    drawn = [
        summarize_target(
            graphs.CosineGraph(),
            captions[random.permutation(200)[:size]],
            temperature,
            *candidates,
        )
        for _ in range(40)
    ]
    mass, entropy = (np.mean(one) for one in computed["found"][number])
    # Three standard errors of the page's 200 batches are 0.03 of the mass and 0.06 nats.
    assert mass == pytest.approx(np.mean([one.own_mass for one in drawn]), abs=0.03)
    assert entropy == pytest.approx(np.mean([one.entropy for one in drawn]), abs=0.06)


def test_batches_are_nested_and_drawn_without_replacement(computed, similarities):
    _, counts, ends = group(similarities)
    drawn = [np.array(one) for one, _ in computed["counts"]]
    begins = np.concatenate([[0], ends[:-1]])
    for size, one in zip((30, 60), drawn[:2], strict=True):
        assert (np.add.reduceat(one, begins) == size - 1).all()
    assert (drawn[0] <= drawn[1]).all() and (drawn[1] <= counts).all()
    np.testing.assert_array_equal(drawn[2], counts)
    np.testing.assert_array_equal(drawn[3], counts)
    assert [scale for _, scale in computed["counts"]] == [1, 1, 1, 994 / 199]
    # Each image is as likely as another one: of groups of one, 59 in 199.
    single = drawn[1][counts == 1]
    assert np.mean(single) == pytest.approx(59 / 199, abs=4 * np.sqrt(0.21 / len(single)))


def test_the_temperature_for_a_mass_is_the_one_that_training_solves(computed, captions):
    expected = solve_target_temperature(graphs.CosineGraph(), captions, 0.5)
    assert computed["solved"] == pytest.approx(expected, rel=2e-3)
    assert computed["never"] is None


def test_bands_are_quantiles(computed):
    assert computed["band"] == pytest.approx({"mean": 2, "low": 0.4, "high": 3.6})
