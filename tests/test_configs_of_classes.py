"""What every public class with `get_config` says of its constructor's arguments."""

import inspect

import keras
import numpy as np
import pytest
from helpers import door

import xsample_tf
from xsample_tf import graphs, losses, models
from xsample_tf.data import views
from xsample_tf.training import optimizers

TABLE = np.array([[1.0, 0.3], [0.3, 1.0]])
# Arguments that are not the defaults, by class.
ARGUMENTS = {
    graphs.CosineGraph: {"center": [0.5, 0.25]},
    graphs.LabelGraph: {"one_hot": True},
    graphs.ClassGraph: {"table": TABLE, "one_hot": True},
    graphs.InstanceGraph: {},
    graphs.ImageGraph: {"center": [0.5, 0.25]},
    graphs.TaxonomyGraph: {"table": TABLE, "one_hot": True},
    graphs.RandomClassGraph: {"table": TABLE, "seed": 3, "one_hot": True},
    graphs.ShuffledClassGraph: {"table": TABLE, "seed": 3, "one_hot": True},
    graphs.RandomSampleGraph: {"values": [0.25, 0.5], "seed": 3},
    graphs.SmoothingGraph: {"off_class": 0.25, "one_hot": True},
    graphs.EdgeNoiseGraph: {
        "graph": graphs.ClassGraph(TABLE),
        "spurious_edges": 0.1,
        "missing_edges": 0.2,
        "no_edge": 0.3,
        "seed": 4,
    },
    graphs.BlendedGraph: {
        "graphs": [graphs.CosineGraph(), graphs.LabelGraph()],
        "weights": [0.75, 0.25],
    },
    losses.XSampleContrastiveLoss: {
        "graph": graphs.LabelGraph(),
        "temperature": 0.2,
        "target_temperature": 0.3,
        "exclude_self": False,
        "implementation": "tiled",
        "tile_size": 3,
        "reduction": "sum",
        "name": "mine",
        "dtype": "float64",
    },
    losses.ImageTextContrastiveLoss: {
        "graph": graphs.CosineGraph(),
        "temperature": 0.2,
        "target_temperature": 0.3,
        "implementation": "dense",
        "tile_size": 3,
        "reduction": "sum",
        "name": "mine",
        "dtype": "float64",
    },
    losses.SigmoidContrastiveLoss: {
        "temperature": 0.2,
        "bias": -3.0,
        "implementation": "dense",
        "tile_size": 3,
        "reduction": "sum",
        "name": "mine",
        "dtype": "float64",
    },
    losses.CrossEntropyLoss: {
        "label_smoothing": 0.1,
        "one_hot": True,
        "reduction": "sum",
        "name": "mine",
        "dtype": "float64",
    },
    losses.WeightedLosses: {
        "losses": [losses.XSampleContrastiveLoss(), losses.SigmoidContrastiveLoss()],
        "weights": [1.0, 0.5],
        "reduction": "sum",
        "name": "mine",
        "dtype": "float64",
    },
    models.XSampleModel: {
        "encoder": door.encoder(),
        "projector": keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)]),
        "microbatch_size": 4,
        "finish_views": views.SimCLR(4, strength=0.5).finish,
        "output": None,
        "input_range": (-1.0, 1.0),
        "learn_temperature": True,
        "learn_bias": True,
        "name": "mine",
    },
    models.ImageTextModel: {
        "encoder": door.encoder(),
        "text_encoder": keras.Sequential([keras.Input((7,)), keras.layers.Dense(5)]),
        "projector": keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)]),
        "text_projector": keras.Sequential([keras.Input((5,)), keras.layers.Dense(4)]),
        "text": "embedding",
        "microbatch_size": 4,
        "finish_views": views.SimCLR(4, strength=0.5).finish,
        "output": None,
        "input_range": (-1.0, 1.0),
        "learn_temperature": True,
        "learn_bias": True,
        "name": "mine",
    },
    views.SimCLR: {"size": 8, "views": 3, "blur": False, "strength": 0.5, "min_scale": 0.2},
    optimizers.LARS: {
        "learning_rate": optimizers.warmup_cosine(1.0, 10, 2),
        "momentum": 0.5,
        "weight_decay": 0.1,
        "trust_coefficient": 0.01,
        "decay_embeddings": False,
        "name": "mine",
    },
    optimizers.AdamW: {"learning_rate": 0.5, "weight_decay": 0.1, "beta_1": 0.8, "name": "mine"},
    optimizers.SGD: {"learning_rate": 0.5, "weight_decay": 0.1, "momentum": 0.8, "name": "mine"},
}


def public_classes():
    """Every class of the package's faces that can be serialised."""
    found = set()
    for face in (xsample_tf, graphs, losses, models, optimizers, views):
        for value in vars(face).values():
            own = inspect.isclass(value) and value.__module__.startswith("xsample_tf")
            abstract = inspect.isclass(value) and (
                inspect.isabstract(value)
                or value in (graphs.SimilarityGraph, losses.ContrastiveLoss)
            )
            if own and hasattr(value, "get_config") and not abstract:
                found.add(value)
    return found


def test_every_public_class_is_here():
    assert public_classes() == set(ARGUMENTS)


@pytest.mark.parametrize("kind", ARGUMENTS, ids=lambda kind: kind.__name__)
def test_get_config_has_all_arguments_and_makes_an_equal_object(kind):
    given = ARGUMENTS[kind]
    made = kind(**given)
    config = made.get_config()
    named = [
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    assert set(given) <= set(named) <= set(config)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(made))
    assert type(again) is kind
    assert plain(again.get_config()) == plain(config)
    for name, value in given.items():
        if isinstance(value, bool | int | float | str | tuple) and name != "learning_rate":
            assert config[name] == value, name


def plain(config):
    """A configuration that compares by value."""
    if isinstance(config, dict):
        return {key: plain(value) for key, value in config.items() if key != "shared_object_id"}
    if isinstance(config, list | tuple):
        return [plain(value) for value in config]
    return config.tolist() if isinstance(config, np.ndarray) else config


def test_finish_views_goes_on_in_a_loaded_model(tmp_path):
    policy = views.SimCLR(4, strength=0.0, blur=False)
    model = door.model(finish_views=policy.finish, compiled={"run_eagerly": True})
    crops = door.pixels()
    draws = np.zeros((*crops.shape[:2], policy._colors.draws), "float32")
    model.fit((crops, draws), door.captions(), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, again):
        each.fit((crops, draws), door.captions(), verbose=0)
    for one, two in zip(door.values(model.encoder), door.values(again.encoder), strict=True):
        np.testing.assert_array_equal(one, two)
    unnamed = door.model(finish_views=lambda crops, draws: crops)
    unnamed.finish_views = object().__str__
    with pytest.raises(xsample_tf.InputError, match="finish_views: .*cannot be saved"):
        unnamed.get_config()
