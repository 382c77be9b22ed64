"""The optimizer's step on every replica: reduce, unscale, check, and Keras's own `apply`.

Keras 3.15 clips before it sums gradients over replicas, and its loss scaling looks at the first
replica's gradients only. Here the sum comes first, then one look at whether it is finite, and then
the optimizer's own `apply_gradients`, within a conditional. `Optimizer.apply` does more than the
update, and all of it comes along:

- methods that a subclass overrides: `apply`, `apply_gradients`, `update_step`;
- the check that the optimizer knows the variables;
- variables that are overwritten with their gradients (float8 scales);
- `loss_scale_factor`, clipping, weight decay, accumulation, moving averages of weights;
- constraints, and the count of iterations.

A conditional holds no collective, so the optimizer writes to each replica's own copies: all have
the same gradients.
"""

import contextlib
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf
from keras.src.backend.tensorflow.core import Variable
from keras.src.backend.tensorflow.optimizer import TFOptimizer
from keras.src.optimizers.base_optimizer import BaseOptimizer

from xsample_tf.errors import InputError

# What Keras's optimizers do otherwise under a strategy, where they sum over replicas once more.
REPLICATED = (
    "_apply_weight_decay",
    "_backend_increment_gradient_accumulators",
    "_backend_update_step",
    "_overwrite_model_variables_with_average_value",
)


def check_optimizer(optimizer: keras.Optimizer) -> None:
    """Raises `InputError` for an optimizer whose own way of taking a step would be passed over."""
    scaling = keras.optimizers.LossScaleOptimizer
    if not isinstance(optimizer, scaling):
        return
    own = [
        name
        for name in ("apply", "apply_gradients", "scale_loss", "check_finite")
        if getattr(type(optimizer), name) is not getattr(scaling, name)
    ]
    if own:
        raise InputError(
            f"optimizer: expected Keras's LossScaleOptimizer as it is, received "
            f"{type(optimizer).__name__} with its own {', '.join(own)}; the model scales and "
            "checks itself, so override these in the inner optimizer"
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
    stream and checkpoints keep their places. With gradient accumulation the batch then adds
    nothing, and an update that is due is made of the others.

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
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    inner = optimizer.inner_optimizer if scaled else optimizer
    gradients, loss = _reduced(gradients, variables, loss)
    states = _averaged(states)
    if scaled:
        gradients = [
            gradient
            if gradient is None or is_overwritten(variable)
            else gradient / optimizer.scale_loss(1.0)
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
    present = [gradient for gradient in gradients if gradient is not None]
    finite = [tf.reduce_all(tf.math.is_finite(value)) for value in (*present, loss)]
    finite = tf.reduce_all(tf.stack(finite))

    def take() -> None:
        with _on_this_replica():
            inner.apply_gradients(list(zip(gradients, variables, strict=True)))
        for variable, value in states:
            variable.assign(value)

    def skip() -> None:
        with _on_this_replica():
            if inner.gradient_accumulation_steps:
                nothing = [x if x is None else tf.zeros_like(x) for x in gradients]
                inner.apply_gradients(list(zip(nothing, variables, strict=True)))
                return
            for one in (inner, *getattr(inner, "optimizers", ())):  # Of a MultiOptimizer.
                one._iterations.assign_add(1)

    tf.cond(finite, take, skip)
    if scaled:
        _adapt_scale(optimizer, finite)
    return finite, loss


def is_overwritten(variable: keras.Variable) -> bool:
    """Whether the gradient by a variable is its new value (Keras's float8 training)."""
    return getattr(variable, "overwrite_with_gradient", False)


def _reduced(
    gradients: Sequence[tf.Tensor | None], variables: Sequence[keras.Variable], loss: tf.Tensor
) -> tuple[list[tf.Tensor | None], tf.Tensor]:
    """Gradients and loss summed over replicas; new values, as of float8 scales, their largest."""
    result = [x if x is None else tf.convert_to_tensor(x) for x in gradients]
    present = [i for i, gradient in enumerate(result) if gradient is not None]
    largest = [i for i in present if is_overwritten(variables[i])]
    summed = [i for i in present if i not in set(largest)]
    *sums, loss = over_replicas("SUM", [*(result[i] for i in summed), loss])
    maxima = over_replicas("MAX", [result[i] for i in largest])
    for i, value in zip((*summed, *largest), (*sums, *maxima), strict=True):
        result[i] = value
    return result, loss


def over_replicas(operation: str, values: list[tf.Tensor]) -> list[tf.Tensor]:
    """The "SUM", "MEAN" or "MAX" of each tensor over replicas; on one, the tensors themselves."""
    context = tf.distribute.get_replica_context()
    if not values or context is None or context.num_replicas_in_sync == 1:
        return values
    if operation == "MAX":  # Which TensorFlow's all_reduce has not.
        gathered = context.all_gather([value[tf.newaxis] for value in values], axis=0)
        return [tf.reduce_max(value, axis=0) for value in gathered]
    return context.all_reduce(operation, values)


def _averaged(
    states: Sequence[tuple[keras.Variable, tf.Tensor]],
) -> list[tuple[keras.Variable, tf.Tensor]]:
    floats = [pair for pair in states if pair[1].dtype.is_floating]
    means = over_replicas("MEAN", [value for _, value in floats])
    rest = [pair for pair in states if not pair[1].dtype.is_floating]
    return [*zip((variable for variable, _ in floats), means, strict=True), *rest]


@contextlib.contextmanager
def _on_this_replica() -> Iterator[None]:
    """Has optimizers update this replica's copies, without a collective.

    The classes are changed and not one optimizer: a method of a subclass may call that of its base,
    as Nadam's does, or an optimizer another one. Replicas are traced one at a time, and nothing
    within lets the next one go on.
    """
    changes = [(TFOptimizer, name, getattr(BaseOptimizer, name)) for name in REPLICATED]
    changes.append((Variable, "_direct_assign", _assign_on_this_replica))
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    for owner, name, method in changes:
        setattr(owner, name, method)
    try:
        yield
    finally:
        for owner, name, method in before:
            setattr(owner, name, method)


def _assign_on_this_replica(variable: Variable, value: tf.Tensor) -> None:
    """Keras's `_direct_assign`, but that a replicated variable is not aggregated."""
    target = variable._value
    if tf.distribute.in_cross_replica_context():
        target.assign(tf.cast(value, target.dtype))
        return
    if hasattr(target, "_get_on_device_or_primary"):
        target = target._get_on_device_or_primary()
    target.assign(tf.cast(value, target.dtype))


def _adapt_scale(optimizer: keras.optimizers.LossScaleOptimizer, finite: tf.Tensor) -> None:
    """Halves the scale after an overflow, doubles it after `dynamic_growth_steps` without."""
    scale, count = (
        tf.convert_to_tensor(x) for x in (optimizer.dynamic_scale, optimizer.step_counter)
    )
    grown = count == optimizer.dynamic_growth_steps - 1
    counts = finite & ~grown
    optimizer.dynamic_scale.assign(tf.where(finite, tf.where(grown, 2 * scale, scale), scale / 2))
    optimizer.step_counter.assign(tf.where(counts, count + 1, tf.zeros_like(count)))
