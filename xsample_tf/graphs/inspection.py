"""What the target looks like for given data and batch, before a step is run.

With real captions the mass that the target leaves on an image's own other views falls as the batch
grows, so that one target temperature is another objective at another batch size. These functions
measure that mass, and find the temperature for a wanted one.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.graphs.base import TIE, SimilarityGraph

# Anchors looked at: enough for two digits of the mean mass, few enough for a batch of 65,536.
MAX_ANCHORS = 512
LOWEST, HIGHEST = 1e-3, 1e2
# Mean mass on an image's own other views. Above this range the objective hardly differs from
# SimCLR's; below it the image's own views hardly rank first.
OWN_MASS_RANGE = (0.2, 0.9)


@dataclasses.dataclass(frozen=True)
class TargetSummary:
    """The target softmax, averaged over anchors.

    Attributes:
        own_mass: Mass on the image's own other views, in [0, 1].
        entropy: H(s) in nats.
        target_temperature: The target temperature it was computed for.
    """

    own_mass: float
    entropy: float
    target_temperature: float

    @property
    def effective_positives(self) -> float:
        """exp(H(s)): over how many candidates the target is spread."""
        return math.exp(self.entropy)


def summarize_target(
    graph: SimilarityGraph,
    side: Any,
    target_temperature: float | None = None,
    views: int = 2,
    exclude_self: bool = True,
    sides: int = 1,
) -> TargetSummary:
    """Mass, entropy and spread of the target for one batch.

    Args:
        graph: How the images relate.
        side: `[B, ...]`, the side information of one global batch, a dict where the graph's
            `features` are several; for a graph of indices, the indices.
        target_temperature: tau_s; None takes the graph's own.
        views: V, views of each image.
        exclude_self: As in the loss.
        sides: 2 where a view is compared with the batch's texts, of which one is its image's own,
            and not with views. Defaults to 1.

    Returns:
        The mean over at most 512 anchors of the batch.

    Example:
        >>> summarize_target(graphs.LabelGraph(), np.array([0, 0, 1, 2])).own_mass
        0.667
    """
    if target_temperature is None:
        target_temperature = graph.target_temperature
    similarity, own = _similarity(graph, side)
    candidates = _candidates(views, exclude_self, sides)
    mass, entropy = _mass_and_entropy(similarity, own, target_temperature, *candidates)
    return TargetSummary(mass, entropy, target_temperature)


def solve_target_temperature(
    graph: SimilarityGraph,
    side: Any,
    own_mass: float,
    views: int = 2,
    exclude_self: bool = True,
    sides: int = 1,
) -> float:
    """The target temperature that puts a wanted mass on an image's own other views.

    The mass falls as the temperature rises, so bisection finds it.

    Args:
        graph: How the images relate.
        side: `[B, ...]`, the side information of one global batch.
        own_mass: Wanted mean mass, between 0 and 1.
        views: V, views of each image.
        exclude_self: As in the loss.
        sides: As for `summarize_target`.

    Returns:
        tau_s in [0.001, 100], to four digits.

    Raises:
        InputError: No target temperature in that range gives this mass.

    Example:
        >>> solve_target_temperature(graphs.CosineGraph(), captions, 0.5)
        0.083
    """
    similarity, own = _similarity(graph, side)
    candidates = _candidates(views, exclude_self, sides)

    def mass(target_temperature: float) -> float:
        return _mass_and_entropy(similarity, own, target_temperature, *candidates)[0]

    low, high = LOWEST, HIGHEST
    most, least = mass(low), mass(high)
    if not least <= own_mass <= most:
        raise InputError(
            f"target_temperature: expected a mass between {least:.3f} and {most:.3f}, which this "
            f"data can reach at this batch size, received auto:{own_mass:g}"
        )
    for _ in range(40):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if mass(middle) > own_mass else (low, middle)
    return float(f"{math.sqrt(low * high):.4g}")


def _similarity(graph: SimilarityGraph, side: Any) -> tuple[np.ndarray, np.ndarray]:
    """Similarities float64 `[R, B]` of some anchors to the batch, and each anchor's own column."""
    side = tf.nest.map_structure(np.asarray, side)
    images = len(tf.nest.flatten(side)[0])
    own = np.unique(np.linspace(0, images - 1, min(images, MAX_ANCHORS)).astype(int))
    anchors = tf.nest.map_structure(lambda values: tf.constant(values[own]), side)
    columns = tf.nest.map_structure(tf.constant, side)
    similarity = graph.similarity(anchors, columns).numpy()
    similarity = similarity.astype(np.float64)
    similarity[np.arange(len(own)), own] = 1.0
    return similarity, own


def _candidates(views: int, exclude_self: bool, sides: int) -> tuple[int, int, int]:
    """How many candidates another image gives, and the own one; how many of those are others."""
    return (1, 1, 1) if sides == 2 else (views, views - exclude_self, views - 1)


def _mass_and_entropy(
    similarity: np.ndarray, own: np.ndarray, temperature: float, each: int, own_each: int, true: int
) -> tuple[float, float]:
    """The target is the same for all views of an image, so it is computed once an image."""
    anchors = np.arange(len(own))
    copies = np.full(similarity.shape, float(each))
    copies[anchors, own] = own_each
    largest = np.where(copies > 0, similarity, -np.inf).max(axis=1, keepdims=True)
    if temperature == 0:
        weight = (similarity >= largest - TIE).astype(np.float64)
        logits = np.zeros_like(similarity)
    else:
        logits = (similarity - largest) / temperature
        # A self pair left out may be larger than every candidate; it carries no weight.
        logits = np.minimum(logits, 0)
        weight = np.exp(logits)
    partition = (copies * weight).sum(axis=1)
    entropy = np.log(partition) - (copies * weight * logits).sum(axis=1) / partition
    mass = true * weight[anchors, own] / partition
    return float(mass.mean()), float(entropy.mean())
