"""Similarity graphs: how the samples of a batch relate to each other.

The target of the loss is a softmax over the rows of such a graph (arXiv 2407.18134, section 3);
which graph is used decides the objective: captions give X-CLR, labels give SupCon, the image
itself gives SimCLR.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from xsample_tf.registry import Registry

# Side information `[B, ...]`: a tensor, or a dict of them for a graph with several features. What a
# graph prepares of it may be a dict as well, of tensors or dicts.
Side = Any


class GraphData(Protocol):
    """What a graph may ask of the run that it is built for.

    Attributes:
        seed: The run's.
        batch_size: Images in the global batch.
        views: Views of each image.
        exclude_self: Whether the loss leaves a view out of its own candidates.
        sides: 2 where views are compared with texts, else 1.
    """

    seed: int
    batch_size: int
    views: int
    exclude_self: bool
    sides: int

    def center(self, features: str = "embedding") -> np.ndarray | None:
        """Returns the mean vector `[T]` to subtract, or None to leave vectors alone."""

    def class_vectors(self) -> np.ndarray:
        """Returns the caption vector of each class, `[C, T]`.

        Raises:
            InputError: The data has no class names, or no caption vectors.
        """

    def class_names(self) -> tuple[str, ...]:
        """Returns the names of the classes in the order of their labels.

        Raises:
            InputError: The data has no class names.
        """

    def graph(self, name: str, **own: Any) -> "SimilarityGraph":
        """Returns another graph for the same data, with these options of its own.

        Raises:
            InputError: There is none of that name, or the data lacks what it needs.
        """

    def side_information(self, features: str | tuple[str, ...], images: int) -> Side:
        """Returns what a graph with these features sees of the stream's first images.

        Raises:
            InputError: The data does not have it.
        """

    def target_temperature(self, graph: "SimilarityGraph") -> float:
        """Returns the run's target temperature, the graph's own where the run names none.

        Raises:
            InputError: The run solves the temperature for a mass, which needs the graph first.
        """


class SimilarityGraph:
    """How samples relate: side information in, similarities in [-1, 1] out.

    A graph of one's own derives from this class, names the feature it needs and implements
    `compare` (and `get_config`, where it has arguments). `register` makes it a choice of
    `tools/train.py --graph`.

    Attributes:
        features: Name of the side information: "embedding", "label", "key_hash" (int32, of the
            image's key), another feature of the dataset's dict, or "index", the image's place in
            the global batch, which the loss supplies. With a tuple of names the graph gets a dict.
        target_temperature: The graph's own temperature of the target softmax; 0 is its limit,
            uniform over the most similar candidates.
        inner_product: Whether `compare` is the inner product of prepared vectors; the loss then
            uses products of full precision, which GPUs otherwise round.
        of_captions: Whether the similarities are those of captions. `fit` then warns of a target
            that is one-sided, and a run's evaluation measures the KL divergence to its captions at
            the run's own target temperature. Defaults to False.

    Example:
        >>> @graphs.register("age", options=[Option("age_scale", 10.0, "Years.", minimum=0.1)])
        ... class AgeGraph(graphs.SimilarityGraph):
        ...     features = "age"
        ...
        ...     def __init__(self, age_scale=10.0):
        ...         self.age_scale = age_scale
        ...
        ...     def compare(self, rows, columns):
        ...         return tf.exp(-tf.abs(rows[:, None] - columns[None, :]) / self.age_scale)
        ...
        ...     def get_config(self):
        ...         return {"age_scale": self.age_scale}
    """

    features: str | tuple[str, ...] = "embedding"
    target_temperature: float = 0.1
    inner_product: bool = False
    of_captions: bool = False

    @classmethod
    def from_data(cls, data: GraphData, **own: Any) -> "SimilarityGraph":
        """Builds the graph for a run.

        Args:
            data: The run's data, for a graph that is computed from it. Whether the data has the
                graph's `features` has been checked before.
            **own: The options that the graph declares where it is registered.
        """
        del data
        return cls(**own)

    def similarity(self, rows: Side, columns: Side) -> tf.Tensor:
        """Returns similarities float32 `[R, C]` of side information `[R, ...]` and `[C, ...]`.

        The result is symmetric in its arguments and lies in [-1, 1]; float64 side information may
        give float64.
        """
        return self.compare(self.prepare(rows), self.prepare(columns))

    def prepare(self, side: Side) -> Side:
        """Returns what `compare` takes, `[B, ...]`: whatever can be done once per image."""
        return side

    def compare(self, rows: Side, columns: Side) -> tf.Tensor:
        """Returns similarities `[R, C]` of prepared side information `[R, ...]` and `[C, ...]`."""
        raise NotImplementedError(f"abstract: {type(self).__name__} must implement compare")

    def compare_by(
        self, product: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], rows: Side, columns: Side
    ) -> tf.Tensor:
        """Returns the similarities as `compare` does, by another inner product where it has one.

        Args:
            product: Returns the inner products `[R, C]` of vectors `[R, T]` and `[C, T]`.
            rows: Prepared side information `[R, ...]`.
            columns: Prepared side information `[C, ...]`.
        """
        return product(rows, columns) if self.inner_product else self.compare(rows, columns)

    def valid(self, prepared: Side) -> tf.Tensor:
        """Returns which images' prepared side information is usable, bool `[B]`.

        The others' loss is NaN, for compiled steps, in which no error can be raised.
        """
        return tf.ones(tf.shape(tf.nest.flatten(prepared)[0])[:1], tf.bool)

    def check(self, side: Side) -> None:
        """Raises `InputError` when the values `[B, ...]` cannot be used; called when eager only."""

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "SimilarityGraph":
        """Builds the graph from `get_config`'s result."""
        return cls(**config)


def feature_names(features: str | tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names of one or several features."""
    return (features,) if isinstance(features, str) else features


def choose_features(side: Mapping[str, Any], features: str | tuple[str, ...]) -> Side:
    """Returns what a graph with these features takes: a value, or a dict of those of a tuple."""
    if isinstance(features, str):
        return side[features]
    return {name: side[name] for name in features}


# Candidates this close to the row's most similar one share the target at target temperature 0;
# float equality would depend on how the products were rounded.
TIE = 1e-4

# The graphs that a run can choose by name.
GRAPHS = Registry("graph", "xsample_tf.graphs", SimilarityGraph)
register = GRAPHS.register
