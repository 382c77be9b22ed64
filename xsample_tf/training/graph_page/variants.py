"""The graphs that a page shows: the run's, the same centred or not, and one to compare."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from xsample_tf import data
from xsample_tf.graphs import GRAPHS, SimilarityGraph
from xsample_tf.graphs.base import Side, choose_features, feature_names
from xsample_tf.registry import own_values
from xsample_tf.training import stream
from xsample_tf.training.options import Options
from xsample_tf.training.run_data import make_graph

_PROBES = 64  # Images whose similarities tell whether centring changes a graph.


@dataclasses.dataclass(frozen=True)
class Variant:
    """One graph over the sample.

    Attributes:
        name: What the page calls it.
        options: The settings of a run with it.
        graph: The graph.
        side: What it sees of the sample, `[P, ...]`.
        texts: "key" and "caption" of the sample, bytes `[P]`.
    """

    name: str
    options: Options
    graph: SimilarityGraph
    side: Side
    texts: Mapping[str, np.ndarray]

    @property
    def flags(self) -> list[str]:
        """The flags that choose the graph, as for tools/train.py."""
        options = self.options
        names = ("embedding", "image_embedding", "encode_captions")
        given = [(name, getattr(options, name)) for name in names if getattr(options, name)]
        entry = GRAPHS[options.graph]
        defaults = {option.name: option.default for option in entry.options}
        own = own_values(entry, options.own)
        given += [(name, value) for name, value in own.items() if value != defaults[name]]
        flags = [f"--{name}={value}" for name, value in [("graph", options.graph), *given]]
        return flags + ["--center"] * options.center

    def similarity(self, rows: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
        """Returns the similarities float32 `[R, C]` of images of the sample, by their numbers.

        Args:
            rows: `[R]`.
            columns: `[C]`; None for all.
        """

        def part(numbers: np.ndarray | slice) -> Side:
            return tf.nest.map_structure(lambda values: tf.constant(values[numbers]), self.side)

        sides = part(rows), part(slice(None) if columns is None else columns)
        return self.graph.similarity(*sides).numpy().astype(np.float32)


def make_variants(
    options: Options,
    dataset: data.Dataset,
    images: int,
    compare_graph: str,
    compare_embedding: str,
    compare_own: Mapping[str, Any],
) -> list[Variant]:
    """Returns the run's graph first, then it centred (or not), then the one to compare.

    Args:
        options: The settings of the run.
        dataset: What its first data directory says.
        images: Size of the sample.
        compare_graph: Another graph, "" for the same.
        compare_embedding: Other caption vectors, by their name in the data directory or by the
            handle of a text encoder; "" for the same.
        compare_own: Values of options that the other graph declares.

    Raises:
        InputError: The data lacks what a graph needs.
    """
    name = options.graph + ", centred" * options.center
    found = [_variant(name, options, dataset, images)]
    if not options.encode_captions:
        other = dataclasses.replace(options, center=not options.center)
        name = f"{options.graph}, {'centred' if other.center else 'not centred'}"
        graph = make_graph(other, dataset)  # It sees what the other one does.
        centred = dataclasses.replace(found[0], name=name, options=other, graph=graph)
        found += _if_different(centred, found[0])
    if compare_graph or compare_embedding:
        changes = _compared(options, dataset, compare_graph, compare_embedding, compare_own)
        names = [part for part in (changes.graph, compare_embedding) if part]
        found.append(_variant(", ".join(names), changes, dataset, images))
    return found


def _compared(
    options: Options,
    dataset: data.Dataset,
    graph: str,
    embedding: str,
    own: Mapping[str, Any],
) -> Options:
    """Returns the options with another graph or other vectors, whatever the objective allows."""
    changes: dict[str, Any] = {"objective": "xclr", "text_tower": "", "views": 2}
    if embedding:
        stored = embedding in dataset.encoders
        changes |= {"embedding": embedding if stored else ""}
        changes |= {} if stored else {"encode_captions": embedding, "center": False}
    graph = graph or options.graph
    names = {option.name for option in GRAPHS[graph].options}
    changes |= {"graph": graph, "own": {k: v for k, v in own.items() if k in names}}
    for name in ("augmentation", "optimizer"):  # Their own options say nothing about the target.
        changes[name] = Options.__dataclass_fields__[name].default
    return dataclasses.replace(options, **changes)


def _variant(name: str, options: Options, dataset: data.Dataset, images: int) -> Variant:
    graph = make_graph(options, dataset)
    names = dict.fromkeys((*feature_names(graph.features), *sorted(stream.TEXTS)))
    found = stream.side_information(options, tuple(names), images, options.seed)
    side = choose_features(found, graph.features)
    graph.check(side)
    return Variant(name, options, graph, side, {name: found[name] for name in stream.TEXTS})


def _if_different(variant: Variant, other: Variant) -> list[Variant]:
    """Returns the variant alone if it relates some images otherwise, else nothing."""
    some = np.arange(min(_PROBES, len(other.texts["key"])))
    pairs = [one.similarity(some, some) for one in (variant, other)]
    return [] if np.allclose(*pairs, atol=1e-6) else [variant]
