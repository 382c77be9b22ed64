import pytest

from xsample_tf.errors import InputError
from xsample_tf.evaluation import MEASURES, Figure, Measure, Score
from xsample_tf.evaluation.measures import base


class Constant(Measure):
    """A number that is known."""

    figures = (Figure("constant", "a constant"),)

    def run(self, features):
        return {"constant": Score(1.0)}


def test_measures_of_labels_come_first_then_those_of_captions(own_entries):
    MEASURES.register("a_constant")(Constant)
    assert base.names() == (
        *("clusters", "few_shot", "knn", "linear", "linear_sgd"),
        *("caption_cosine", "kl", "recall", "text_recall"),
        *("a_constant", "rankme", "tower_recall"),
    )


def test_probes_choose_among_the_measures_of_labels():
    without = ["caption_cosine", "kl", "recall", "text_recall", "rankme", "tower_recall"]
    assert list(base.make(None, {})) == ["knn", "linear", *without]
    assert list(base.make(["linear"], {})) == ["linear", *without]
    assert list(base.make([], {})) == without
    for probe in ("knnn", "kl"):
        with pytest.raises(InputError, match=f"unknown probe '{probe}'; .*knn"):
            base.make([probe], {})


def test_no_two_figures_have_one_name(own_entries):
    MEASURES.register("a_constant")(Constant)
    assert base.figures()["constant"].title == "a constant"
    MEASURES.register("constant")(type("Again", (Constant,), {}))
    with pytest.raises(InputError, match="measure 'constant': its figure 'constant' is another"):
        base.make(None, {})


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "Faulty: expected figures"),
        ({"figures": ("accuracy",)}, "Faulty: expected figures"),
        ({"figures": Constant.figures, "needs": ("label",)}, "Faulty: expected needs.*labels"),
        ({"figures": Constant.figures, "needs": "labels"}, "Faulty: expected needs as a tuple"),
    ],
)
def test_a_measure_that_cannot_be_run_or_shown_is_refused_at_once(attributes, message):
    with pytest.raises(InputError, match=message):
        type("Faulty", (Measure,), attributes)


def test_what_is_no_measure_is_named(own_entries):
    MEASURES.register("faulty")(lambda: None)
    with pytest.raises(InputError, match="measure 'faulty': expected a subclass of Measure"):
        base.make(None, {})
