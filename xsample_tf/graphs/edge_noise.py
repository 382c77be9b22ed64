"""Graphs with edges that are wrong on purpose: spurious ones, and missing ones."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.graphs import pair_hash
from xsample_tf.graphs.base import SimilarityGraph, choose_features, feature_names
from xsample_tf.registry import Option, check_bounds

EDGE_NOISE = (
    Option(
        "spurious_edges",
        0.0,
        "Share of the pairs of images of different classes that the graph takes for one class.",
        minimum=0,
        maximum=1,
    ),
    Option(
        "missing_edges",
        0.0,
        "Share of the pairs of images of one class that the graph takes for different classes.",
        minimum=0,
        maximum=1,
    ),
)


@keras.saving.register_keras_serializable("xsample_tf")
class EdgeNoiseGraph(SimilarityGraph):
    """A graph of classes with spurious edges (similarity 1) and missing ones.

    An edge is a similarity of 1, that of images of one class. Whether a pair's edge is wrong is a
    function of the seed and of both images' keys, the same in every batch and epoch. Two views of
    one image stay related.

    Side information: a dict of what the graph needs, and "key_hash", whole numbers `[B]` that tell
    images apart.

    Args:
        graph: A graph of classes, as `LabelGraph()`.
        spurious_edges: Share of the pairs without an edge that get one. Defaults to 0.
        missing_edges: Share of the pairs with an edge that lose it. Defaults to 0.
        no_edge: Similarity of a pair that lost its edge. Defaults to 0.
        seed: Of the noise, 64 bits. Defaults to 0.

    Raises:
        InputError: A share outside of [0, 1], or a similarity outside of [-1, 1].

    Example:
        >>> graph = EdgeNoiseGraph(LabelGraph(), missing_edges=0.5)
        >>> side = {"label": tf.constant([0, 0, 1]), "key_hash": tf.constant([11, 22, 33])}
        >>> graph.similarity(side, side)
    """

    def __init__(
        self,
        graph: SimilarityGraph,
        spurious_edges: float = 0.0,
        missing_edges: float = 0.0,
        no_edge: float = 0.0,
        seed: int = 0,
    ):
        check_bounds("spurious_edges", spurious_edges, minimum=0, maximum=1)
        check_bounds("missing_edges", missing_edges, minimum=0, maximum=1)
        check_bounds("no_edge", no_edge, minimum=-1, maximum=1)
        self.graph = graph
        self.spurious_edges, self.missing_edges = float(spurious_edges), float(missing_edges)
        self.no_edge, self.seed = float(no_edge), int(seed)
        self.features = tuple(dict.fromkeys((*feature_names(graph.features), "key_hash")))
        self.target_temperature = graph.target_temperature

    def prepare(self, side: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what the graph prepares, and a hash of each image."""
        return {
            "graph": self.graph.prepare(choose_features(side, self.graph.features)),
            "hash": pair_hash.image_hash(side["key_hash"], self.seed, purpose=2),
        }

    def compare(self, rows: Mapping[str, Any], columns: Mapping[str, Any]) -> tf.Tensor:
        """Returns the graph's similarities `[R, C]`, but for the edges that are wrong."""
        similarity = self.graph.compare(rows["graph"], columns["graph"])
        drawn = tf.cast(pair_hash.pair_uniform(rows["hash"], columns["hash"]), similarity.dtype)
        edge = similarity >= 1 - 1e-6
        with_missing = tf.where(drawn < self.missing_edges, self.no_edge, similarity)
        with_spurious = tf.where(drawn < self.spurious_edges, 1.0, similarity)
        return tf.where(edge, with_missing, with_spurious)

    def valid(self, prepared: Mapping[str, Any]) -> tf.Tensor:
        """Returns which images the graph can relate, bool `[B]`."""
        return self.graph.valid(prepared["graph"])

    def check(self, side: Mapping[str, Any]) -> None:
        """Raises `InputError` where the graph does."""
        self.graph.check(choose_features(side, self.graph.features))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = ("spurious_edges", "missing_edges", "no_edge", "seed")
        return {
            "graph": keras.saving.serialize_keras_object(self.graph),
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "EdgeNoiseGraph":
        """Builds the graph from `get_config`'s result."""
        graph = keras.saving.deserialize_keras_object(config["graph"])
        return cls(**{**config, "graph": graph})


def with_edge_noise(
    graph: SimilarityGraph, spurious_edges: float, missing_edges: float, seed: int
) -> SimilarityGraph:
    """Returns a graph of classes with edge noise, or the graph itself where both shares are 0.

    A pair that loses its edge gets the mean similarity of different classes.
    """
    if not spurious_edges and not missing_edges:
        return graph
    table = getattr(graph, "table", np.eye(2))
    others = table[np.triu_indices(len(table), 1)]
    no_edge = float(others.mean()) if others.size else 0.0
    return EdgeNoiseGraph(graph, spurious_edges, missing_edges, no_edge, seed)
