"""L-BFGS: minimizes a smooth function of many variables."""

from collections.abc import Callable

import tensorflow as tf


def minimize(
    value_and_gradient: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    start: tf.Tensor,
    iterations: int = 100,
    tolerance: float = 1e-5,
    memory: int = 10,
) -> tf.Tensor:
    """Minimises a smooth convex function by L-BFGS (Nocedal and Wright 2006, algorithm 7.5).

    Args:
        value_and_gradient: Point to value (scalar) and gradient (the point's shape).
        start: Where to begin, any shape.
        iterations: At most so many steps.
        tolerance: Stops when two steps in a row lower the value by less than this share.
        memory: Past steps that model the curvature.
    """
    point, slow = start, 0
    value, gradient = value_and_gradient(point)
    history: list[tuple[tf.Tensor, tf.Tensor, tf.Tensor]] = []
    for _ in range(iterations):
        direction = -_inverse_hessian_times(history, gradient)
        slope = tf.reduce_sum(direction * gradient)
        step = 1.0 if history else min(1.0, 1 / float(tf.norm(gradient) + 1e-12))
        for _ in range(20):
            trial = point + step * direction
            trial_value, trial_gradient = value_and_gradient(trial)
            if trial_value <= value + 1e-4 * step * slope:
                break
            step /= 2
        else:
            break  # No descent is left within the rounding of float32.
        moved, turned = trial - point, trial_gradient - gradient
        curvature = tf.reduce_sum(moved * turned)
        if curvature > 0:
            history = [*history[-memory + 1 :], (moved, turned, 1 / curvature)]
        slow = slow + 1 if value - trial_value <= tolerance * abs(value) else 0
        point, value, gradient = trial, trial_value, trial_gradient
        if slow == 2:
            break
    return point


def _inverse_hessian_times(
    history: list[tuple[tf.Tensor, tf.Tensor, tf.Tensor]], gradient: tf.Tensor
) -> tf.Tensor:
    """The two-loop recursion over (step, change of gradient, 1 / their product)."""
    shares = []
    for moved, turned, scale in reversed(history):
        shares.append(scale * tf.reduce_sum(moved * gradient))
        gradient -= shares[-1] * turned
    if history:
        moved, turned, _ = history[-1]
        gradient *= tf.reduce_sum(moved * turned) / tf.reduce_sum(turned**2)
    for (moved, turned, scale), share in zip(history, reversed(shares), strict=True):
        gradient += (share - scale * tf.reduce_sum(turned * gradient)) * moved
    return gradient
