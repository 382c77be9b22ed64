"""How fast the parts of a training step are, each alone, in pairs a second."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from xsample_tf import devices
from xsample_tf.models.distributed_model import DistributedModel
from xsample_tf.training.execution import compile_step, precision_policy
from xsample_tf.training.model import make_optimizer
from xsample_tf.training.objectives import Objective
from xsample_tf.training.preflight import loss_checks
from xsample_tf.training.preflight.setting import OpenedRun

_BUDGET = 12.0  # Seconds for the timed steps of a part.
_LEAST = 3  # Timed steps of a part.
_STEP = 4.0  # Seconds of a step on a CPU, at most.


@dataclasses.dataclass(frozen=True)
class Rate:
    """How fast a part is.

    Attributes:
        pairs_per_second: Images a second, all their views with them.
        batch_size: Images in a step.
        steps: How many were timed.
    """

    pairs_per_second: float
    batch_size: int
    steps: int


def measure(setting: OpenedRun) -> Iterator[tuple[str, Rate]]:
    """Measures "input", "encoder", "loss", "step" and "run", in the run's precision.

    "step" is `fit` on a batch that lies in memory, "run" is `fit` on the stream. On a CPU the batch
    is made so small that a step takes seconds; the loss's, whose work grows with the square, is the
    run's all the same.
    """
    options, strategy = setting.options, setting.strategy
    compiled, _ = compile_step(options)
    model = setting.model(
        setting.objective,
        strategy,
        precision_policy(options),
        compiled,
        lambda: make_optimizer(options, setting.total_steps, setting.steps_per_epoch)[0],
        setting.loss(),
    )
    images = _affordable(setting, model)
    if images < options.batch_size:
        model.microbatch_size = None  # It need not divide so few.
    objective = setting.objective.with_options(batch_size=images)
    yield "input", _rate_of_input(objective.make_stream(), images)
    in_memory = _first_batch(objective)
    one = next(iter(strategy.experimental_distribute_dataset(in_memory)))
    encoder = tf.function(_pass_of_encoder(model), autograph=False, jit_compile=compiled)
    yield "encoder", _rate(lambda: float(encoder(one)), images)
    batch = loss_checks.make_batch(setting, setting.options.batch_size)
    loss = loss_checks.make_function(setting.loss(), batch, strategy, compiled)
    yield "loss", _rate(lambda: _wait(strategy, loss()[1]), setting.options.batch_size)
    yield "step", _rate_of_fit(model, in_memory, images)
    yield "run", _rate_of_fit(model, objective.make_stream(), images)


def peak_memory() -> int | None:
    """Most bytes that a GPU has held at once since the last call; None without one."""
    gpus = [
        device.name.removeprefix("/device:") for device in tf.config.list_logical_devices("GPU")
    ]
    peaks = [tf.config.experimental.get_memory_info(gpu)["peak"] for gpu in gpus]
    for gpu in gpus:
        tf.config.experimental.reset_memory_stats(gpu)
    return max(peaks, default=None)


def _affordable(setting: OpenedRun, model: DistributedModel) -> int:
    """Images in a step: the run's, or on a CPU as many as take some seconds."""
    options, replicas = setting.options, setting.strategy.num_replicas_in_sync
    if devices.accelerated() or options.batch_size < 8 * replicas:
        return options.batch_size
    encoder = _pass_of_encoder(model)  # Eagerly: tracing takes longer than this.

    def seconds(images: int) -> float:
        stream = _first_batch(setting.objective.with_options(batch_size=images))
        batch = next(iter(setting.strategy.experimental_distribute_dataset(stream)))
        return images / _rate(lambda: float(encoder(batch)), images, 0, 1).pairs_per_second

    # The difference, since much of a small step's time does not grow with the batch.
    more = (seconds(6 * replicas) - seconds(2 * replicas)) / (4 * replicas)
    if more * options.batch_size <= _STEP:
        return options.batch_size
    return max(2 ** int(math.log2(_STEP / more / replicas)), 1) * replicas


def _first_batch(objective: Objective) -> tf.data.Dataset:
    """A batch, again and again from memory; no larger window than it is read."""
    stream = objective.with_options(shuffle_window=1).make_stream()
    return stream.take(1).cache().repeat()


def _pass_of_encoder(model: DistributedModel) -> Callable[[Any], tf.Tensor]:
    """A function of the replicas' batches: forward through encoder and projector, and back."""
    strategy = model.distribute_strategy

    def one(batch: tuple) -> tf.Tensor:
        with tf.GradientTape() as tape:
            projections = model.embed_batch(batch, training=True)
            value = tf.reduce_sum(tf.square(projections))
        gradients = tape.gradient(value, model.trainable_variables)
        present = [tf.convert_to_tensor(one) for one in gradients if one is not None]
        # A number that needs all of them.
        return tf.add_n([tf.reduce_sum(tf.cast(gradient, tf.float32)) for gradient in present])

    return lambda batch: strategy.reduce("SUM", strategy.run(one, (batch,)), axis=None)


def _wait(strategy: tf.distribute.Strategy, values: Any) -> None:
    """Returns when the replicas have computed their `[b, ...]`."""
    for share in strategy.experimental_local_results(values):
        share[0].numpy()


def _rate_of_input(stream: tf.data.Dataset, images: int) -> Rate:
    """The rate of the stream when nothing else is done; it is gone when this returns."""
    batches = iter(stream)
    _rate(lambda: next(batches), images, _BUDGET / 4)  # TensorFlow tunes it meanwhile.
    return _rate(lambda: next(batches), images)


def _rate(
    function: Callable[[], Any], images: int, budget: float = _BUDGET, least: int = _LEAST
) -> Rate:
    """The rate of a function that takes a step; its first call does not count."""
    function()
    steps, begin = 0, time.perf_counter()
    while steps < least or time.perf_counter() - begin < budget:
        function()
        steps += 1
    return Rate(images * steps / (time.perf_counter() - begin), images, steps)


class _Stopwatch(keras.callbacks.Callback):
    """Ends `fit` when the steps after its first have used up the budget."""

    def __init__(self):
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stops after enough steps."""
        self.ends.append(time.perf_counter())
        if len(self.ends) > _LEAST and self.ends[-1] - self.ends[0] >= _BUDGET:
            self.model.stop_training = True


def _rate_of_fit(model: DistributedModel, stream: tf.data.Dataset, images: int) -> Rate:
    """The rate of `fit`; its first step, which may be traced, does not count."""
    watch = _Stopwatch()
    model.fit(stream, steps_per_epoch=10**6, shuffle=False, verbose=0, callbacks=[watch])
    steps = len(watch.ends) - 1
    return Rate(images * steps / (watch.ends[-1] - watch.ends[0]), images, steps)
