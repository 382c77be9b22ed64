"""The guide's graph of one's own is what it says, and goes through saving and the tools."""

import math
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from xsample_tf import XSampleContrastiveLoss, graphs, registry
from xsample_tf.errors import InputError


@pytest.fixture(scope="module")
def age_graph(repository, tmp_path_factory):
    """The guide's own file, imported as --import does; its class."""
    text = (repository / "docs" / "graphs.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(# age_graph.py\n.*?)```", text, re.DOTALL)
    path = tmp_path_factory.mktemp("own") / "age_graph.py"
    path.write_text(snippet, encoding="utf-8")
    registry.import_module(str(path))
    return graphs.GRAPHS["age"]


def test_the_guide_s_graph_relates_ages(age_graph):
    graph = age_graph.make(5.0)
    ages = tf.constant([20.0, 25.0, 40.0])
    apart = np.abs(ages.numpy()[:, None] - ages.numpy()[None, :])
    np.testing.assert_allclose(graph.similarity(ages, ages), np.exp(-apart / 5), rtol=1e-6)
    # Equal embeddings: every candidate has the same share, so that the loss is log 5.
    loss = XSampleContrastiveLoss(graph)
    assert float(loss(ages, tf.ones([3, 2, 4]))) == pytest.approx(math.log(5), rel=1e-5)


def test_it_goes_through_keras_s_serialisation(age_graph):
    loss = XSampleContrastiveLoss(age_graph.make(5.0))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again.graph) is age_graph.make and again.graph.age_scale == 5.0


def test_its_option_is_declared(age_graph):
    assert age_graph.help == "People of nearly the same age are alike."
    assert registry.own_values(age_graph, {"age_scale": 5})["age_scale"] == 5.0
    with pytest.raises(InputError, match="age_scale: expected a number at least 0.1, received 0"):
        registry.own_values(age_graph, {"age_scale": 0})


def test_the_built_in_graphs_are_found_by_listing_their_folder():
    folder = pathlib.Path(graphs.__file__).parent
    registered = {
        name
        for path in folder.glob("*.py")
        for name in re.findall(r'^@register\("(\w+)"', path.read_text(encoding="utf-8"), re.M)
    }
    assert registered == {"cosine", "class", "label", "instance", "image", "smoothing"} | {
        "random_class",
        "random_sample",
        "shuffled_class",
    }
    registered.add("taxonomy")  # Its decorator has lines of options.
    assert registered <= set(graphs.GRAPHS.names())
    assert [name for name in sorted(registered) if graphs.GRAPHS[name].make.of_captions] == [
        "class",
        "cosine",
    ]
