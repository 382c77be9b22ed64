"""The loss and its gradient by the embeddings, in every form, against float64."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from xsample_tf.graphs.base import Side
from xsample_tf.losses import ContrastiveLoss
from xsample_tf.training.preflight.check import Check
from xsample_tf.training.preflight.setting import NOT_SPLIT, OpenedRun

_VIEWS = 2048  # At most: a matrix of the reference has their square.
# Largest error of float32 that passes, as a share of the largest value that is possible.
_BOUND = 1e-5


@dataclasses.dataclass(frozen=True)
class Batch:
    """What the loss is given.

    Attributes:
        side: `[B, ...]`, of the data's first images, or a dict of such.
        embeddings: Float32 `[B, V, P]`, random; those of an image are alike.
        weights: Float32 `[B]`, uneven, since equal ones hide what a replica takes for another's.
    """

    side: Side
    embeddings: np.ndarray
    weights: np.ndarray

    def as_type(self, dtype: str) -> "Batch":
        """The same numbers in another precision; labels stay whole."""
        parts = [getattr(self, field.name) for field in dataclasses.fields(self)]
        return Batch(
            *tf.nest.map_structure(lambda x: x.astype(dtype) if x.dtype.kind == "f" else x, parts)
        )


def images_of(setting: OpenedRun) -> int:
    """Images in checks of the loss: the run's, as far as the reference can take them."""
    images = min(setting.options.batch_size, _VIEWS // setting.objective.compared[0])
    return images - images % (setting.several.num_replicas_in_sync if setting.several else 1)


def make_batch(setting: OpenedRun, images: int) -> Batch:
    """A batch of the run's graph, with embeddings as a projector gives them."""
    random = np.random.default_rng(0)
    shape = (images, *setting.objective.compared)
    image = random.standard_normal((images, 1, shape[-1]), np.float32)
    embeddings = image + random.standard_normal(shape, np.float32)
    weights = random.uniform(0.5, 1.5, images).astype(np.float32)
    return Batch(setting.objective.side_information(images), embeddings, weights)


def make_function(
    loss: ContrastiveLoss,
    batch: Batch,
    strategy: tf.distribute.Strategy,
    compiled: bool = False,
) -> Callable[[], tuple[Any, Any]]:
    """A function of nothing: rows `[b]` and gradients `[b, V, P]` of the replicas' shares."""
    images = len(batch.weights)

    def one(side: Side, embeddings: tf.Tensor, weights: tf.Tensor) -> tuple:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            rows, _ = loss.rows(side, embeddings)
            mean = tf.reduce_sum(weights * rows) / images
        return rows, tape.gradient(mean, embeddings)

    def share(values: np.ndarray) -> Any:
        def of(context: Any) -> tf.Tensor:
            parts = np.split(values, context.num_replicas_in_sync)
            return tf.constant(parts[context.replica_id_in_sync_group])

        return strategy.experimental_distribute_values_from_function(of)

    shares = tf.nest.map_structure(share, [batch.side, batch.embeddings, batch.weights])
    function = tf.function(
        lambda *shares: strategy.run(one, shares), autograph=False, jit_compile=compiled
    )
    return lambda: function(*shares)


def check_forms(setting: OpenedRun) -> Iterator[Check]:
    """Both forms, on one device and on several; of a loss with one form that one."""
    problem = _Problem(setting)
    one_device = tf.distribute.get_strategy()
    forms = ("dense", "tiled") if setting.loss_has_forms else ("dense",)
    for form in forms:
        yield problem.check(f"loss and gradient, {form}, one device", form, one_device)
    for form in forms:
        name = f"loss and gradient, {form}, {setting.several_name}"
        if setting.several is None:
            yield Check(name, note=NOT_SPLIT)
        else:
            yield problem.check(name, form, setting.several)


def check_compiled(setting: OpenedRun) -> Iterator[Check]:
    """The dense form compiled by XLA; the tiled form always is."""
    name = "loss and gradient, compiled by XLA, one device"
    yield _Problem(setting).check(name, "dense", tf.distribute.get_strategy(), compiled=True)


class _Problem:
    """A batch of the run's loss and its exact solution: the dense form in float64 on the CPU."""

    def __init__(self, setting: OpenedRun):
        self._setting = setting
        self._batch = make_batch(setting, images_of(setting))
        loss = setting.loss(implementation="dense", dtype="float64")
        with tf.device("CPU:0"):
            batch = self._batch.as_type("float64")
            self._exact = _values(loss, batch, tf.distribute.get_strategy())

    def check(
        self, name: str, form: str, strategy: tf.distribute.Strategy, compiled: bool = False
    ) -> Check:
        """The error of the run's loss in one form, as a share of the largest value."""
        batch = self._batch
        tile = math.ceil(len(batch.weights) / 3)  # Several, of which the last is filled up.
        loss = self._setting.loss(implementation=form, tile_size=tile)
        ours = _values(loss, batch, strategy, compiled)
        temperature = getattr(loss, "temperature", 1.0)
        # The largest that a loss and a gradient could be, where these are small.
        units = 1 / temperature, batch.weights.max() / len(batch.weights) / temperature
        errors = [
            np.abs(one - exact).max() / max(np.abs(exact).max(), unit)
            for one, exact, unit in zip(ours, self._exact, units, strict=True)
        ]
        target = getattr(loss, "target_temperature", None)
        bound = _BOUND * max(1, 0.01 / target) if target else _BOUND
        return Check(name, float(np.max(errors)), bound)


def _values(
    loss: ContrastiveLoss,
    batch: Batch,
    strategy: tf.distribute.Strategy,
    compiled: bool = False,
) -> list[np.ndarray]:
    """Losses `[B]` and gradient `[B, V, P]`, the replicas' shares joined."""
    return [
        np.concatenate([np.array(share) for share in strategy.experimental_local_results(result)])
        for result in make_function(loss, batch, strategy, compiled)()
    ]
