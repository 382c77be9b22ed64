"""The graph of a taxonomy: classes are near where their common ancestor is."""

import keras
import numpy as np

from xsample_tf.errors import InputError, suggest
from xsample_tf.graphs.base import GraphData, SimilarityGraph, register
from xsample_tf.graphs.edge_noise import EDGE_NOISE, with_edge_noise
from xsample_tf.graphs.label import ClassGraph
from xsample_tf.graphs.parent_list import BUILT_IN, Taxonomy, read_taxonomy
from xsample_tf.registry import Option

MEASURES = ("wu_palmer", "path")
_SHOWN = 5  # Classes that a message names.


@register(
    "taxonomy",
    options=[
        Option(
            "taxonomy",
            "",
            f"{', '.join(BUILT_IN)}, or a file with a line CLASS<TAB>PARENT for each class and "
            "each parent; else the built-in one that has all classes.",
        ),
        Option(
            "taxonomy_measure",
            "wu_palmer",
            "wu_palmer: depth of the common ancestor, by that of the classes; path: 1 / (1 + edges "
            "between the classes).",
            choices=MEASURES,
        ),
        *EDGE_NOISE,
    ],
)
@keras.saving.register_keras_serializable("xsample_tf")
class TaxonomyGraph(ClassGraph):
    """Similarity of classes by their places in a taxonomy, such as WordNet's.

    Side information: labels `[B]`, as for `ClassGraph`.

    Args:
        table: `[C, C]`, as for `ClassGraph`.
        one_hot: As for `LabelGraph`. Defaults to False.

    Raises:
        InputError: As for `ClassGraph`.

    Example:
        >>> names = ("rose", "tulip", "shark")
        >>> TaxonomyGraph.from_taxonomy("cifar100", names).table.round(2)
        [[1., 0.67, 0.33], [0.67, 1., 0.33], [0.33, 0.33, 1.]]
    """

    of_captions = False

    @classmethod
    def from_data(
        cls,
        data: GraphData,
        taxonomy: str = "",
        taxonomy_measure: str = "wu_palmer",
        spurious_edges: float = 0.0,
        missing_edges: float = 0.0,
    ) -> SimilarityGraph:
        """Builds the table for the data's class names."""
        names = data.class_names()
        graph = cls.from_taxonomy(taxonomy or _that_has(names), names, taxonomy_measure)
        return with_edge_noise(graph, spurious_edges, missing_edges, data.seed)

    @classmethod
    def from_taxonomy(
        cls, taxonomy: str, class_names: tuple[str, ...], measure: str = "wu_palmer"
    ) -> "TaxonomyGraph":
        """Builds the table of some classes.

        Args:
            taxonomy: "cifar100" (its superclasses), "imagenet" (WordNet's nouns above the 1,000
                classes), or the path of a file with a line CLASS<TAB>PARENT for each class and each
                parent of it, up to the root.
            class_names: C names. Case does not matter, and underscores are spaces.
            measure: With d the depth of a common ancestor, 1 at the root, and l the edges from both
                classes to it, "wu_palmer" is the largest 2 d / (2 d + l), and "path" the largest
                1 / (1 + l). Both are 1 for a class and itself. Defaults to "wu_palmer".

        Raises:
            InputError: A file that cannot be read, classes that it lacks, or an unknown measure.
        """
        if measure not in MEASURES:
            raise InputError(
                f"taxonomy_measure: received {measure!r}, {suggest(measure, MEASURES)}"
            )
        known = read_taxonomy(taxonomy)
        nodes = known.nodes_of(class_names)
        missing = [name for name, node in zip(class_names, nodes, strict=True) if node is None]
        if missing:
            raise InputError(
                f"taxonomy: expected one node for each of the {len(class_names)} classes in "
                f"{taxonomy}, received none or several for {len(missing)}: "
                f"{', '.join(missing[:_SHOWN])}{', ...' if len(missing) > _SHOWN else ''}; give a "
                "file of your own by --taxonomy=FILE, with a line CLASS<TAB>PARENT each"
            )
        return cls(similarities(known, nodes, measure))


def _that_has(names: tuple[str, ...]) -> str:
    """Returns the built-in taxonomy that has all classes, else the one that has most of them."""
    return max(
        BUILT_IN,
        key=lambda name: sum(node is not None for node in read_taxonomy(name).nodes_of(names)),
    )


def similarities(taxonomy: Taxonomy, nodes: list[str], measure: str) -> np.ndarray:
    """Returns the similarities `[C, C]` of some nodes of a taxonomy."""
    above = [taxonomy.ancestors(node) for node in nodes]
    places = {node: place for place, node in enumerate(sorted(set().union(*above)))}
    depth = np.array([taxonomy.depth(node) for node in places], np.float64)
    edges = np.full((len(nodes), len(places)), np.inf)
    for row, ancestors in zip(edges, above, strict=True):
        row[[places[node] for node in ancestors]] = list(ancestors.values())
    table = np.empty((len(nodes), len(nodes)))
    for row, own in zip(table, edges, strict=True):
        common = np.flatnonzero(np.isfinite(own))  # A few: all others are at infinite distance.
        length = edges[:, common] + own[common]
        if measure == "path":
            row[:] = 1 / (1 + length.min(axis=1))
        else:
            row[:] = (2 * depth[common] / (2 * depth[common] + length)).max(axis=1)
    return table
