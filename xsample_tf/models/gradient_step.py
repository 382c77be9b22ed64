"""The optimizer's step on every replica: reduce, unscale, check, clip and apply, in this order.

Keras 3.15 clips before it sums gradients over replicas, and its loss scaling looks at the first
replica's gradients only.
"""

import contextlib
import functools
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf
from keras.src.backend.tensorflow.optimizer import TFOptimizer
from keras.src.optimizers.base_optimizer import BaseOptimizer

# What Keras's optimizers do otherwise under a strategy, where they sum over replicas once more.
REPLICATED = (
    "_apply_weight_decay",
    "_backend_increment_gradient_accumulators",
    "_backend_update_step",
    "_overwrite_model_variables_with_average_value",
)


def apply_gradients(
    optimizer: keras.Optimizer,
    gradients: Sequence[tf.Tensor | None],
    variables: Sequence[keras.Variable],
    states: Sequence[tuple[keras.Variable, tf.Tensor]],
    loss: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums the gradients over replicas and takes the same step on each, or on none.

    Where the summed loss or a summed gradient is not finite, weights, the optimizer's slots and the
    states stay as they are. The count of iterations goes on, so that a step is a batch: schedule,
    stream and checkpoints keep their places.

    Args:
        optimizer: Built; a `LossScaleOptimizer` halves its scale where the step is skipped.
        gradients: Of this replica, scaled as `optimizer.scale_loss` says.
        variables: What they are gradients by; one without a gradient is left alone.
        states: Variables that the forward pass moves, with their new values; floats are averaged
            over replicas.
        loss: Scalar, this replica's share, not scaled.

    Returns:
        Whether the step was taken, and the summed loss.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    gradients, variables = inner._filter_empty_gradients(gradients, variables)
    *gradients, loss = over_replicas("SUM", [*map(tf.convert_to_tensor, gradients), loss])
    states = _averaged(states)
    gradients = [gradient / optimizer.scale_loss(1.0) for gradient in gradients]
    finite = [tf.reduce_all(tf.math.is_finite(value)) for value in (*gradients, loss)]
    finite = tf.reduce_all(tf.stack(finite))

    def take() -> None:
        with _on_this_replica(inner):
            inner._backend_apply_gradients(gradients, variables)
        for variable in variables:
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))
        for variable, value in states:
            variable.assign(value)

    tf.cond(finite, take, lambda: None)
    inner._iterations.assign_add(1)
    if inner is not optimizer:
        _adapt_scale(optimizer, finite)
    return finite, loss


def over_replicas(operation: str, values: list[tf.Tensor]) -> list[tf.Tensor]:
    """The "SUM" or "MEAN" of each tensor over replicas; on one, the tensors themselves."""
    context = tf.distribute.get_replica_context()
    if not values or context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(operation, values)


def _averaged(
    states: Sequence[tuple[keras.Variable, tf.Tensor]],
) -> list[tuple[keras.Variable, tf.Tensor]]:
    floats = [pair for pair in states if pair[1].dtype.is_floating]
    means = over_replicas("MEAN", [value for _, value in floats])
    rest = [pair for pair in states if not pair[1].dtype.is_floating]
    return [*zip((variable for variable, _ in floats), means, strict=True), *rest]


@contextlib.contextmanager
def _on_this_replica(optimizer: keras.Optimizer) -> Iterator[None]:
    """Has the optimizer update this replica's copies, without a collective.

    That also lets the update stand in a conditional, where TensorFlow allows no collective.
    """
    ours = [
        name for name in REPLICATED if getattr(type(optimizer), name) is getattr(TFOptimizer, name)
    ]
    for name in ours:
        setattr(optimizer, name, functools.partial(getattr(BaseOptimizer, name), optimizer))
    try:
        yield
    finally:
        for name in ours:
            delattr(optimizer, name)


def _adapt_scale(optimizer: keras.optimizers.LossScaleOptimizer, finite: tf.Tensor) -> None:
    """Halves the scale after an overflow, doubles it after `dynamic_growth_steps` without."""
    scale, count = (
        tf.convert_to_tensor(x) for x in (optimizer.dynamic_scale, optimizer.step_counter)
    )
    grown = count == optimizer.dynamic_growth_steps - 1
    counts = finite & ~grown
    optimizer.dynamic_scale.assign(tf.where(finite, tf.where(grown, 2 * scale, scale), scale / 2))
    optimizer.step_counter.assign(tf.where(counts, count + 1, tf.zeros_like(count)))
