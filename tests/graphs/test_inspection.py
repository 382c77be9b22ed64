"""What the target looks like before a step is run."""

import re

import numpy as np
import pytest
import tensorflow as tf
from helpers import reference

from xsample_tf import graphs
from xsample_tf.errors import InputError
from xsample_tf.losses import contrastive_rows, solve_target_temperature, summarize_target


@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize("target_temperature", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("exclude_self", [True, False])
def test_summary_is_what_the_loss_uses(views, target_temperature, exclude_self):
    random = np.random.default_rng(0)
    captions, z = random.normal(size=(20, 6)), random.normal(size=(20, views, 4))
    captions[3] = captions[4]
    graph = graphs.CosineGraph()
    summary = summarize_target(graph, captions, target_temperature, views, exclude_self)
    _, statistics = contrastive_rows(
        tf.constant(z),
        captions,
        graph,
        target_temperature=target_temperature,
        exclude_self=exclude_self,
    )
    np.testing.assert_allclose(summary.own_mass, np.mean(statistics["own_mass"]), rtol=1e-9)
    np.testing.assert_allclose(summary.entropy, np.mean(statistics["target_entropy"]), rtol=1e-9)
    assert summary.effective_positives == pytest.approx(np.exp(summary.entropy))


def test_solved_temperature_gives_the_wanted_mass():
    captions = reference.unit(np.random.default_rng(1).normal(size=(700, 16)) + 0.4)
    for mass in (0.2, 0.5, 0.9):
        tau_s = solve_target_temperature(graphs.CosineGraph(), captions, mass)
        assert summarize_target(graphs.CosineGraph(), captions, tau_s).own_mass == pytest.approx(
            mass, abs=1e-3
        )


def test_mass_out_of_reach_is_named():
    labels = np.zeros(10, int)  # All of one class: the mass is 1/19 at any temperature.
    with pytest.raises(InputError, match="between 0.053 and 0.053"):
        solve_target_temperature(graphs.LabelGraph(), labels, 0.5)


def test_instance_graph_has_all_its_mass_on_its_own_views():
    summary = summarize_target(graphs.InstanceGraph(), np.arange(32))
    assert (summary.own_mass, summary.entropy) == (1.0, 0.0)


def test_the_guide_s_example_prints_what_it_says(repository, capsys):
    guide = (repository / "docs" / "concepts.md").read_text(encoding="utf-8")
    code, printed = re.search(
        r"<!-- target -->\n```python\n(.*?)```\n\n```\n(.*?)```", guide, re.DOTALL
    ).groups()
    exec(compile(code, "concepts.md", "exec"), {})
    assert capsys.readouterr().out == printed
