"""The base classes of losses over the views of a batch."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.graphs import SimilarityGraph
from xsample_tf.graphs.base import feature_names
from xsample_tf.losses import arguments, cross_replica, functional


class ContrastiveLoss(keras.losses.Loss):
    """A loss over the views of a batch, for Keras and for `XSampleModel`.

    A loss of one's own derives from this class, says in `features` what it needs of the dataset,
    implements `rows` and names in `statistics` what it returns there.

    Args:
        reduction: As in Keras; `mean_with_sample_weight` on one replica only.
        name: As in Keras.
        dtype: "float64" computes in float64; anything else in float32. Defaults to None, float32.

    Attributes:
        sides: 1 where all views are views of the image; 2 where the last of the views
            `[B, V + 1, D]` is its text's.
        statistics: Names of the statistics that `rows` returns and the model shows, in order.
            "target_entropy" brings "kl" and "effective_positives" with it, unless `rows` returns
            these too.

    Example:
        >>> class Alignment(losses.ContrastiveLoss):
        ...     features = "index"  # That is, nothing.
        ...
        ...     def rows(self, side, embeddings):
        ...         variance = tf.math.reduce_variance(tf.nn.l2_normalize(embeddings, -1), axis=1)
        ...         return tf.reduce_sum(variance, axis=-1), {}
        >>> float(Alignment()(None, tf.ones([4, 2, 8])))
        0.0
    """

    sides: ClassVar[int] = 1
    statistics: tuple[str, ...] = ()

    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype or "float32")

    @property
    def features(self) -> str | tuple[str, ...]:
        """What `rows` needs of the dataset's dict.

        For one name `rows` gets the tensor, or None for "index"; for a tuple of names a dict of
        them, without "index".
        """
        raise NotImplementedError(f"abstract: {type(self).__name__} must implement features")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        """Returns the reduced loss; y_true may be None where the loss needs nothing."""
        names = needed_features(self)
        if y_true is None and not names:
            y_true = tf.zeros(tf.shape(y_pred)[:1])
        elif y_true is None:
            raise InputError(
                f"{reader_of(self)}: expected {quoted(names)} [B, ...] as y_true, received None"
            )
        elif any(_is_text(value) for value in tf.nest.flatten(y_true)):
            raise InputError(
                f"{reader_of(self)}: expected {quoted(names)} as numbers, received strings"
            )
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss `[B]` of embeddings `[B, V, D]` and side information `[B, ...]`."""
        if self.reduction == "mean_with_sample_weight" and cross_replica.count() > 1:
            raise InputError(
                "reduction: expected sum_over_batch_size, mean, sum or none on several replicas, "
                "received mean_with_sample_weight, which divides by each replica's own weights"
            )
        return self.rows(y_true, y_pred)[0]

    def rows(self, side: Any, embeddings: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Returns the loss `[B]` and the statistics `[B]` of the rows.

        A loss that takes a `temperature` or a `bias` besides has them learned by
        `XSampleModel(..., learn_temperature=True, learn_bias=True)`, from its attributes of these
        names on: scalar tensors, which receive their gradients and count instead of the loss's own.

        Args:
            side: What `features` says.
            embeddings: Float `[B, V, D]`, a replica's own.
        """
        raise NotImplementedError(f"abstract: {type(self).__name__} must implement rows")

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "dtype": self.dtype}


class GraphLoss(ContrastiveLoss):
    """What the losses over a similarity graph have in common: settings, checks, serialisation."""

    statistics = ("target_entropy", "own_mass", "alignment", "uniformity")

    def __init__(
        self,
        graph: SimilarityGraph,
        temperature: float,
        target_temperature: float | None,
        implementation: str,
        tile_size: int | None,
        reduction: str,
        name: str,
        dtype: str | None,
    ):
        super().__init__(reduction, name, dtype)
        if not isinstance(graph, SimilarityGraph):
            raise InputError(
                f"graph: expected a SimilarityGraph, as graphs.CosineGraph(), received {graph!r}"
            )
        arguments.check_temperature(temperature)
        functional.target_temperature_of(target_temperature, graph)
        arguments.check_implementation(implementation, tile_size)
        self.graph = graph
        self.temperature = temperature
        self.target_temperature = target_temperature
        self.implementation = implementation
        self.tile_size = tile_size

    @property
    def features(self) -> str | tuple[str, ...]:
        """The graph's."""
        return self.graph.features

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = ("temperature", "target_temperature", "implementation", "tile_size")
        return {
            **super().get_config(),
            "graph": keras.saving.serialize_keras_object(self.graph),
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "GraphLoss":
        """Builds the loss from `get_config`'s result."""
        graph = keras.saving.deserialize_keras_object(config["graph"])
        return cls(**{**config, "graph": graph})


def needed_features(loss: Any) -> tuple[str, ...]:
    """The names of what a loss needs of the dataset; "index" it supplies itself.

    Args:
        loss: A `ContrastiveLoss`, or a loss with `rows` and a `graph`.
    """
    return tuple(name for name in feature_names(_features(loss)) if name != "index")


def takes_several(loss: Any) -> bool:
    """Whether a loss's `rows` takes a dict of what it needs, and not one tensor or None."""
    return not isinstance(_features(loss), str)


def _features(loss: Any) -> str | tuple[str, ...]:
    return loss.features if hasattr(loss, "features") else loss.graph.features


def shown_statistics(loss: Any) -> tuple[str, ...]:
    """The names of the statistics that are shown of a loss, those that follow from others too.

    Args:
        loss: A `ContrastiveLoss`; another one is taken to have the statistics of a `GraphLoss`.
    """
    names = []
    given = getattr(loss, "statistics", GraphLoss.statistics)
    for name in given:
        derived = name == "target_entropy" and "kl" not in given
        names += ["kl", name, "effective_positives"] if derived else [name]
    return tuple(names)


def with_derived(rows: tf.Tensor, statistics: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The statistics `[B]` of rows `[B]`, with those that follow from the target's entropy."""
    if "target_entropy" not in statistics or "kl" in statistics:
        return dict(statistics)
    entropy = statistics["target_entropy"]
    return {**statistics, "kl": rows - entropy, "effective_positives": tf.exp(entropy)}


def reader_of(loss: Any) -> str:
    """Who needs the side information, for messages: the graph, or the loss itself."""
    return type(getattr(loss, "graph", loss)).__name__


def quoted(names: tuple[str, ...]) -> str:
    """Names of features, for messages."""
    return " and ".join(map(repr, names))


def _is_text(value: Any) -> bool:
    dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
    return tf.as_dtype(dtype) == tf.string
