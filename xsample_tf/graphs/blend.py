"""Several graphs, blended by weight."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.graphs.base import (
    GRAPHS,
    GraphData,
    Side,
    SimilarityGraph,
    choose_features,
    feature_names,
)
from xsample_tf.registry import Entry, Option, own_values

WEIGHTS = Option(
    "graph_weights",
    "",
    "Weights of blended graphs, as 0.7,0.3 for --graph=cosine,label; else equal.",
)


@keras.saving.register_keras_serializable("xsample_tf")
class BlendedGraph(SimilarityGraph):
    """Weighted mean of the similarities of several graphs.

    Its own target temperature is the first graph's that is above 0, else 0.

    Side information: a dict of what the graphs need; the value alone where they all need the same.

    Args:
        graphs: Two graphs or more.
        weights: A positive number for each, as shares of their sum. Defaults to None, equal ones.

    Raises:
        InputError: One graph, or other weights.

    Example:
        >>> graph = BlendedGraph([CosineGraph(), LabelGraph()], weights=[0.7, 0.3])
        >>> side = {"embedding": tf.eye(2), "label": tf.constant([5, 5])}
        >>> graph.similarity(side, side)
        [[1.0, 0.3], [0.3, 1.0]]
    """

    def __init__(self, graphs: Sequence[SimilarityGraph], weights: Sequence[float] | None = None):
        self.graphs = tuple(graphs)
        given = (1.0,) * len(self.graphs) if weights is None else tuple(map(float, weights))
        if len(self.graphs) < 2 or len(given) != len(self.graphs):
            raise InputError(
                f"graph_weights: expected a weight for each of 2 graphs or more, received "
                f"{len(given)} for {len(self.graphs)}"
            )
        if not all(0 < weight < math.inf for weight in given):
            raise InputError(f"graph_weights: expected numbers above 0, received {given}")
        self.weights = tuple(weight / math.fsum(given) for weight in given)
        names = (name for graph in self.graphs for name in feature_names(graph.features))
        distinct = tuple(dict.fromkeys(names))
        self.features = distinct if len(distinct) > 1 else distinct[0]
        self.of_captions = any(graph.of_captions for graph in self.graphs)
        above = (g.target_temperature for g in self.graphs if g.target_temperature > 0)
        self.target_temperature = next(above, 0.0)

    def prepare(self, side: Side) -> dict[str, Any]:
        """Returns what each graph prepares, by its number."""
        return {
            str(number): graph.prepare(self._own(side, graph))
            for number, graph in enumerate(self.graphs)
        }

    def compare(self, rows: Mapping[str, Any], columns: Mapping[str, Any]) -> tf.Tensor:
        """Returns the weighted mean of the graphs' similarities, `[R, C]`."""
        return self._mean([g.compare(*own) for g, own in self._each(rows, columns)])

    def compare_by(
        self,
        product: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        rows: Mapping[str, Any],
        columns: Mapping[str, Any],
    ) -> tf.Tensor:
        """Returns the same by another inner product; see `SimilarityGraph`."""
        return self._mean([g.compare_by(product, *own) for g, own in self._each(rows, columns)])

    def valid(self, prepared: Mapping[str, Any]) -> tf.Tensor:
        """Returns which images all graphs can relate, bool `[B]`."""
        each = [g.valid(prepared[str(number)]) for number, g in enumerate(self.graphs)]
        return tf.reduce_all(tf.stack(each), axis=0)

    def check(self, side: Side) -> None:
        """Raises `InputError` where one of the graphs does."""
        for graph in self.graphs:
            graph.check(self._own(side, graph))

    def _own(self, side: Side, graph: SimilarityGraph) -> Side:
        """Returns a graph's share of the side information."""
        if not isinstance(self.features, str):
            return choose_features(side, graph.features)
        return side if isinstance(graph.features, str) else {self.features: side}

    def _each(self, rows: Mapping[str, Any], columns: Mapping[str, Any]) -> list[tuple]:
        """Returns each graph with what it prepared of rows and columns."""
        return [
            (graph, (rows[str(number)], columns[str(number)]))
            for number, graph in enumerate(self.graphs)
        ]

    def _mean(self, similarities: list[tf.Tensor]) -> tf.Tensor:
        # Float64 side information may give float64.
        dtype = max((s.dtype for s in similarities), key=lambda dtype: dtype.size)
        weighted = zip(self.weights, similarities, strict=True)
        return tf.add_n([weight * tf.cast(similarity, dtype) for weight, similarity in weighted])

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        graphs = [keras.saving.serialize_keras_object(graph) for graph in self.graphs]
        return {"graphs": graphs, "weights": list(self.weights)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "BlendedGraph":
        """Builds the graph from `get_config`'s result."""
        graphs = [keras.saving.deserialize_keras_object(graph) for graph in config["graphs"]]
        return cls(graphs, config["weights"])


class _Blend:
    """Makes the blend of some entries: what `--graph=cosine,label` chooses."""

    def __init__(self, entries: Sequence[Entry]):
        self._entries = entries
        names = (name for entry in entries for name in feature_names(entry.make.features))
        self.features = tuple(dict.fromkeys(names))

    def from_data(self, data: GraphData, graph_weights: str = "", **own: Any) -> BlendedGraph:
        """Builds each graph for a run, with those of the options that are its own."""
        graphs = [entry.make.from_data(data, **own_values(entry, own)) for entry in self._entries]
        return BlendedGraph(graphs, _numbers(graph_weights))


@GRAPHS.combine([WEIGHTS])
def blend(entries: Sequence[Entry]) -> _Blend:
    """Returns what makes the blend of some graphs."""
    return _Blend(entries)


def _numbers(text: str) -> list[float] | None:
    """Returns the numbers in a list with commas, None for an empty one."""
    try:
        return [float(part) for part in text.split(",")] if text else None
    except ValueError:
        raise InputError(
            f"graph_weights: expected numbers such as 0.7,0.3, received {text!r}"
        ) from None
