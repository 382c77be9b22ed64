"""The core of the losses: each image's loss and statistics, for any graph, size and replica."""

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from xsample_tf import tensors
from xsample_tf.errors import InputError
from xsample_tf.graphs import SimilarityGraph
from xsample_tf.graphs.base import Side, choose_features, feature_names
from xsample_tf.losses import arguments, cross_replica
from xsample_tf.losses.dense import dense_rows
from xsample_tf.losses.tiled.loss import tiled_rows
from xsample_tf.losses.tiled.tile import LOWEST_SHARED_TEMPERATURE, LossSettings


def contrastive_rows(
    embeddings: tf.Tensor,
    side: Side | None,
    graph: SimilarityGraph,
    temperature: float | tf.Tensor = 0.1,
    target_temperature: float | None = None,
    exclude_self: bool = True,
    implementation: str = "auto",
    tile_size: int | None = None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """The loss of each image, with the statistics of its row (arXiv 2407.18134, section 3).

    With views i of all images, unit embeddings z, graph G, temperatures tau and tau_s:
    `p_ij = softmax_j(z_i.z_j / tau)`, `s_ij = softmax_j(G_ij / tau_s)` and the loss of view i is
    `-sum_j s_ij log p_ij`, where j runs over all other views of the batch. Views of one image have
    similarity 1 whatever the graph says. The target takes no gradient.

    Inside a replica context the images are the replica's share, and candidates are those of all
    replicas. A sum over replicas and images of weights times losses has as its gradient by a
    replica's embeddings what this function gives there; the gradient by the temperature is a
    replica's share, to be summed.

    Args:
        embeddings: Float `[B, V, D]`, normalised inside; float64 is computed in float64, anything
            else in float32.
        side: `[B, ...]`, what the graph needs, a dict where its `features` are several; ignored by
            a graph of indices.
        graph: How the images relate.
        temperature: tau, a number or a scalar tensor, which receives its gradient. A number is
            faster: the range of the logits is then known.
        target_temperature: tau_s; None takes the graph's own, 0 is the softmax's limit: uniform
            over the candidates within 1e-4 of the most similar one.
        exclude_self: Whether a view is left out of its own candidates in both softmaxes.
        implementation: "dense" writes every matrix out, in memory O(B^2); "tiled" computes the same
            in memory O(B), compiled by XLA; "auto" takes tiles from 1,024 views on, where the
            batch's shape is known.
        tile_size: Images in a tile; None suits the device.

    Returns:
        The loss `[B]` in nats, mean over the image's views, and statistics `[B]`, without gradient:

        - "target_entropy": H(s) in nats; the loss minus it is the KL divergence;
        - "own_mass": the target's mass on the image's own other views;
        - "uniformity": log of the mean of exp(z_i.z_j / tau) over the candidates; less 1 / tau, it
          is that of Wang and Isola (arXiv 2005.10242) at t = 1 / (2 tau);
        - "alignment": mean squared distance of the image's views, if there are several (the same).

    Raises:
        InputError: Shapes that do not fit, a temperature out of range, a batch of one, replicas
            with unequal shares, tiles for a batch of unknown size, or, when eager, side information
            with values that the graph cannot use. In a compiled step, where values cannot be
            checked, an invalid label makes its image's loss NaN.

    Example:
        >>> z, captions = tf.random.normal([8, 2, 128]), tf.random.normal([8, 384])
        >>> loss, statistics = contrastive_rows(z, captions, graphs.CosineGraph())
        >>> loss.shape, (loss - statistics["target_entropy"]).numpy().min() >= 0
        (TensorShape([8]), True)
    """
    embeddings = tf.convert_to_tensor(embeddings)
    if embeddings.shape.rank != 3:
        raise InputError(
            f"expected embeddings [B, V, D], V views of each image, received {embeddings.shape}; "
            f"for two batches of views use tf.stack([first, second], axis=1)"
        )
    if graph.features == "index" and embeddings.shape[1] == 1:
        raise InputError(
            f"{type(graph).__name__}: expected at least 2 views of each image, received 1: an "
            "image would have no positive"
        )
    settings = (temperature, target_temperature, exclude_self, implementation, tile_size)
    return _rows(embeddings, side, graph, 1, *settings)


def image_text_rows(
    embeddings: tf.Tensor,
    side: Side | None,
    graph: SimilarityGraph,
    temperature: float | tf.Tensor = 0.1,
    target_temperature: float | None = None,
    implementation: str = "auto",
    tile_size: int | None = None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """The two-sided loss of each image and its text: image to text and text to image.

    The image's candidates are all texts, the text's are all images, and the loss is the mean of
    both directions. A graph of indices makes it CLIP's (arXiv 2103.00020); captions' cosines make
    it CLIP with soft targets. Of several views of the image each meets the text by itself, among
    the same views of the other images, and loss and statistics are the means over them.

    Args:
        embeddings: Float `[B, V + 1, D]`, V >= 1 views of the image, then the text.
        side: As for `contrastive_rows`; an image and its own text have similarity 1.
        graph: As for `contrastive_rows`.
        temperature: As for `contrastive_rows`; CLIP learns it, from 0.07 on, at least 0.01.
        target_temperature: As for `contrastive_rows`.
        implementation: As for `contrastive_rows`.
        tile_size: As for `contrastive_rows`.

    Returns:
        As `contrastive_rows`; "own_mass" is the target's mass on the own pair.

    Raises:
        InputError: As `contrastive_rows`.

    Example:
        >>> pairs = tf.stack([image_embeddings, text_embeddings], axis=1)
        >>> loss, _ = image_text_rows(pairs, None, graphs.InstanceGraph(), temperature=0.07)
    """
    settings = (temperature, target_temperature, False, implementation, tile_size)
    return mean_of_pairs(lambda pairs: _rows(pairs, side, graph, 2, *settings), embeddings)


def mean_of_pairs(
    rows: Callable[[tf.Tensor], tuple[tf.Tensor, dict[str, tf.Tensor]]], embeddings: tf.Tensor
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """The mean over an image's views of what `rows` makes of each of them and the text.

    Args:
        rows: Of embeddings `[B, 2, D]`.
        embeddings: `[B, V + 1, D]`, the views of the image, then the text.

    Raises:
        InputError: Embeddings of another shape.
    """
    embeddings = tf.convert_to_tensor(embeddings)
    if embeddings.shape.rank != 3 or (embeddings.shape[1] or 0) < 2:
        raise InputError(
            f"expected embeddings [B, V + 1, D], of V views of an image and of its text, received "
            f"{embeddings.shape}; use tf.stack([images, texts], axis=1)"
        )
    *images, texts = tf.unstack(embeddings, axis=1)
    found = [rows(tf.stack([views, texts], axis=1)) for views in images]
    return tf.nest.map_structure(lambda *parts: tf.add_n(parts) / len(parts), *found)


def _rows(
    embeddings: tf.Tensor,
    side: Side | None,
    graph: SimilarityGraph,
    sides: int,
    temperature: float | tf.Tensor,
    target_temperature: float | None,
    exclude_self: bool,
    implementation: str,
    tile_size: int | None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Checks, chooses the form, and adds what does not depend on it."""
    dtype = tf.float64 if embeddings.dtype == tf.float64 else tf.float32
    embeddings = tf.cast(embeddings, dtype)
    side = _side_information(embeddings, side, graph)
    arguments.check_implementation(implementation, tile_size)
    known = isinstance(temperature, numbers.Real)
    if known:
        arguments.check_temperature(temperature)
    problem = LossSettings(
        graph=graph,
        target_temperature=target_temperature_of(target_temperature, graph),
        exclude_self=exclude_self,
        views=embeddings.shape[1],
        sides=sides,
        tile=arguments.tile_size_of(tile_size, embeddings.shape[0]),
        shared_shift=known and temperature >= LOWEST_SHARED_TEMPERATURE,
        symmetric=cross_replica.count() == 1,
    )
    temperature = arguments.as_scalar(temperature, dtype)
    views, prepared = tensors.unit_rows(embeddings), graph.prepare(side)
    form = tiled_rows if arguments.tiles_wanted(implementation, embeddings) else _dense
    loss, statistics = form(problem, views, prepared, temperature)
    invalid = tf.where(graph.valid(prepared), tf.ones([], dtype), tf.constant(math.nan, dtype))
    statistics = tf.nest.map_structure(tf.stop_gradient, _completed(problem, statistics, views))
    return loss * invalid, statistics


def _dense(
    problem: LossSettings, views: tf.Tensor, prepared: Side, temperature: tf.Tensor
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """The dense form; on several replicas each computes the rows of all."""

    def of_all(views: tf.Tensor, temperature: tf.Tensor) -> tuple[tf.Tensor, dict]:
        everything = tf.nest.map_structure(cross_replica.gather, prepared)
        similarity = tf.cast(problem.graph.compare(everything, everything), views.dtype)
        settings = problem.target_temperature, problem.exclude_self, problem.sides
        return dense_rows(views, similarity, temperature, *settings)

    return cross_replica.of_all(of_all, views, temperature)


def _completed(
    problem: LossSettings, statistics: dict[str, tf.Tensor], views: tf.Tensor
) -> dict[str, tf.Tensor]:
    """The statistics that users see."""
    images = tf.cast(cross_replica.count() * tf.shape(views)[0], views.dtype)
    candidates = images * problem.views_per_side - problem.leaves_self_out
    uniformity = statistics["log_partition"] - tf.math.log(candidates)
    result = {name: statistics[name] for name in ("target_entropy", "own_mass")}
    result["uniformity"] = uniformity
    if problem.views > 1:
        square = tf.reduce_sum(tf.square(tf.reduce_sum(views, axis=1)), axis=1)
        squares = tf.reduce_sum(tf.square(views), axis=[1, 2])
        pairs = problem.views * (problem.views - 1)
        result["alignment"] = 2 * (squares * (problem.views - 1) - (square - squares)) / pairs
    return result


def target_temperature_of(target_temperature: float | None, graph: SimilarityGraph) -> float:
    """tau_s, the graph's own where it is None; `InputError` unless it is a number from 0."""
    if target_temperature is None:
        return graph.target_temperature
    if not (isinstance(target_temperature, numbers.Real) and 0 <= target_temperature < math.inf):
        raise InputError(
            f"target_temperature: expected 0 or a number above, received {target_temperature!r}"
        )
    return target_temperature


def _side_information(embeddings: tf.Tensor, side: Side | None, graph: SimilarityGraph) -> Side:
    """Checks that shapes, and eagerly values, fit; supplies the index to graphs that need it."""
    images = embeddings.shape[0]
    arguments.check_several(images)
    if isinstance(graph.features, str):
        side = {graph.features: side}
    elif not isinstance(side, Mapping | None):
        raise InputError(
            f"{type(graph).__name__}: expected a dict with {', '.join(graph.features)}, received "
            f"{type(side).__name__}"
        )
    given = {}
    for name in feature_names(graph.features):
        if name == "index":
            given[name] = cross_replica.places(images or tf.shape(embeddings)[0])
        else:
            given[name] = _feature(name, (side or {}).get(name), embeddings, graph)
    result = choose_features(given, graph.features)
    if graph.features != "index" and tf.executing_eagerly():
        graph.check(result)
    return result


def _feature(name: str, value: Any, embeddings: tf.Tensor, graph: SimilarityGraph) -> tf.Tensor:
    """Returns a feature as a tensor, once it is known to have a row for each image."""
    if value is None:
        raise InputError(f"{type(graph).__name__}: expected {name!r} [B, ...], got None")
    value, images = tf.convert_to_tensor(value), embeddings.shape[0]
    known = value.shape.rank == 0 or None not in (value.shape[:1] + embeddings.shape[:1]).as_list()
    if known and (value.shape.rank == 0 or value.shape[0] != images):
        raise InputError(
            f"expected {name!r} with one row for each of {images} images, received {value.shape}"
        )
    return value
