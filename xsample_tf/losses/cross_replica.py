"""The global batch of a replica: what other replicas hold, gathered in the forward pass."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from xsample_tf.errors import InputError


def count() -> int:
    """Replicas that share the batch: 1 outside of a replica context, as when Keras builds a model.

    There the batch is everything, even within a strategy's scope.
    """
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def gather(values: tf.Tensor) -> tf.Tensor:
    """Concatenates `[b, ...]` of all replicas, in their order, to `[B, ...]`.

    No gradient is to be taken through it: the loss computes the whole gradient of a replica's own
    rows, so that none has to cross replicas.

    Raises:
        InputError: The replicas' shares differ, as far as shapes show it; else the step fails with
            the same words.
    """
    replicas = count()
    if replicas == 1:
        return values
    gathered = tf.distribute.get_replica_context().all_gather(values, axis=0)
    message = (
        f"expected equal shares of the batch on {replicas} replicas, received others; choose a "
        "batch size that they divide, and batch with drop_remainder=True"
    )
    own, total = values.shape[0], gathered.shape[0]
    if None not in (own, total) and total != replicas * own:
        raise InputError(message)
    equal = tf.debugging.assert_equal(
        tf.shape(gathered)[0], replicas * tf.shape(values)[0], message
    )
    with tf.control_dependencies([equal] if equal is not None else []):
        return tf.ensure_shape(gathered, [own and replicas * own, *values.shape[1:]])


def places(rows: int | tf.Tensor) -> tf.Tensor:
    """The places int32 `[b]` in the global batch of this replica's `rows` images."""
    if count() == 1:
        return tf.range(rows)
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    return tf.range(rows) + tf.cast(replica, tf.int32) * rows


def own(values: tf.Tensor, rows: int | tf.Tensor) -> tf.Tensor:
    """This replica's `rows` rows of gathered `values`."""
    return values if count() == 1 else tf.gather(values, places(rows))


def of_all(
    function: Callable[..., tuple[tf.Tensor, dict[str, tf.Tensor]]],
    views: tf.Tensor,
    *scalars: tf.Tensor,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Has each replica compute a loss for the images of all, and keep what is its own.

    Args:
        function: From views `[B, ...]` of all and the scalars to the loss `[B]` and statistics
            `[B]`.
        views: `[b, ...]`, a replica's own.
        *scalars: Scalar tensors, the same on all replicas.

    Returns:
        Loss and statistics `[b]`; the gradient by a scalar is a replica's share, to be summed.
    """
    if count() == 1:
        return function(views, *scalars)
    rows = tf.shape(views)[0]

    @tf.custom_gradient
    def of_replica(views: tf.Tensor, *scalars: tf.Tensor) -> tuple[Any, Callable]:
        sources = [gather(tf.stop_gradient(views)), *map(tf.stop_gradient, scalars)]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            loss, statistics = function(*sources)

        def gradient(upstream: tf.Tensor, *unused: Any) -> tuple[tf.Tensor, ...]:
            by_views, *by_scalars = tape.gradient(loss, sources, gather(upstream))
            return own(by_views, rows), *(value / count() for value in by_scalars)

        return tf.nest.map_structure(lambda x: own(x, rows), (loss, statistics)), gradient

    return of_replica(views, *scalars)
