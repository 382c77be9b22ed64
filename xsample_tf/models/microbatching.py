"""An encoder's forward and backward pass over a batch: whole, or by microbatches.

The encoder is a pure function of its weights and of the states that it moves (batch statistics,
random seeds), so that a second pass over the same images repeats the first one, and a step that is
skipped leaves no trace.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from xsample_tf.errors import InputError

Tensors = list[tf.Tensor]
# What views are: `[b, V, H, W, 3]`, or what becomes them on the device, each part `[b, V, ...]`.
ViewTensors = tf.Tensor | tuple[tf.Tensor, ...]
# What passes the encoder: views, or a dict of them and of what else has a row for each image.
Inputs = ViewTensors | dict[str, Any]
# Of weights, states and inputs: embeddings `[b, V, P]`, the scalar penalty of
# regularisers, and the states afterwards.
Encode = Callable[[Tensors, Tensors, Inputs], tuple[tf.Tensor, tf.Tensor, Tensors]]
# Of the loss's gradients by embeddings and penalty: its gradients by weights, and the states
# afterwards.
Backward = Callable[[tf.Tensor, tf.Tensor], tuple[list[tf.Tensor | None], Tensors]]


def full_batch(
    encode: Encode, weights: Tensors, states: Tensors, given: Inputs
) -> tuple[tf.Tensor, tf.Tensor, Backward]:
    """All images in one pass, whose activations are kept until the gradient is taken.

    Returns:
        The embeddings `[B, V, P]`, the penalty, and what takes the gradient.
    """
    with tf.GradientTape() as tape:
        tape.watch(weights)
        embeddings, penalty, moved = encode(weights, states, given)
    _check_known(tape)

    def backward(by_embeddings: tf.Tensor, by_penalty: tf.Tensor) -> tuple[list, Tensors]:
        upstream = [by_embeddings, by_penalty]
        return tape.gradient([embeddings, penalty], weights, upstream), moved

    return embeddings, penalty, backward


def microbatched(
    encode: Encode,
    weights: Tensors,
    states: Tensors,
    given: Inputs,
    size: int,
    unrolled: bool = False,
    overwritten: Sequence[bool] = (),
) -> tuple[tf.Tensor, tf.Tensor, Backward]:
    """The same in the memory of a microbatch, for a second forward pass (arXiv 2101.06983).

    The first pass keeps the embeddings alone; the second takes each microbatch again, with its
    gradient. Both see the same random numbers. Batch norm uses the microbatch's statistics in both,
    and moves its averages in the second only.

    Args:
        encode: As for `full_batch`.
        weights: As for `full_batch`.
        states: As for `full_batch`.
        given: As for `full_batch`.
        size: Images in a microbatch.
        unrolled: Writes the passes out one by one, since a loop cannot hold collectives, as those
            of synchronised batch norm.
        overwritten: For each weight, whether its gradient is its new value, as of float8 scales:
            then the largest counts and not the sum. Empty means none is.

    Returns:
        As `full_batch`; the penalty is the mean over microbatches.

    Raises:
        InputError: A size that does not divide the batch.
    """
    batch = tf.nest.flatten(given)[0].shape[0]
    if batch is not None:
        check_size(batch, size)
    elif unrolled:
        raise InputError(
            "microbatch_size: expected batches of one size with synchronised batch norm, received "
            "several; batch the dataset with drop_remainder=True"
        )
    # Of a batch that is not known while tracing, the door has looked at the size.
    count = (tf.shape(tf.nest.flatten(given)[0])[0] if batch is None else batch) // size
    given = tf.nest.map_structure(lambda x: tf.reshape(x, [count, size, *x.shape[1:]]), given)

    def microbatch(index: tf.Tensor) -> Inputs:
        return tf.nest.map_structure(lambda x: x[index], given)

    def embed(index: tf.Tensor, loop: Any) -> Any:
        states, penalty, embeddings = loop
        found, more, states = encode(weights, states, microbatch(index))
        found = embeddings.write(index, tf.cast(found, dtype))
        return states, penalty + tf.cast(more, dtype) / tf.cast(count, dtype), found

    dtype = tf.float64 if tf.float64 in {weight.dtype for weight in weights} else tf.float32
    start = states, tf.zeros([], dtype), tf.TensorArray(dtype, count)
    _, penalty, array = _in_turn(count, unrolled, embed, start)
    embeddings = tf.ensure_shape(array.concat(), [batch, None, None])

    def backward(by_embeddings: tf.Tensor, by_penalty: tf.Tensor) -> tuple[list, Tensors]:
        by_embeddings = tf.reshape(by_embeddings, [count, size, *by_embeddings.shape[1:]])
        unused = set()

        def embed_again(index: tf.Tensor, loop: Any) -> Any:
            states, sums = loop
            with tf.GradientTape() as tape:
                tape.watch(weights)
                found, more, states = encode(weights, states, microbatch(index))
            _check_known(tape)
            upstream = [
                tf.cast(by_embeddings[index], found.dtype),
                tf.cast(by_penalty, more.dtype) / tf.cast(count, more.dtype),
            ]
            gradients = tape.gradient([found, more], weights, upstream)
            unused.update(i for i, gradient in enumerate(gradients) if gradient is None)
            return states, [
                total if gradient is None else add(total, tf.convert_to_tensor(gradient))
                for total, gradient, add in zip(sums, gradients, additions, strict=True)
            ]

        additions = [
            tf.maximum if largest else tf.add for largest in overwritten or [False] * len(weights)
        ]
        sums = [tf.zeros_like(weight) for weight in weights]
        moved, sums = _in_turn(count, unrolled, embed_again, (states, sums))
        return [None if i in unused else total for i, total in enumerate(sums)], moved

    return embeddings, penalty, backward


def check_size(images: int, size: int) -> None:
    """Raises `InputError` unless a replica's images are whole microbatches."""
    if images % size:
        raise InputError(
            f"microbatch_size: expected a divisor of the {images} images of a replica, received "
            f"{size}"
        )


def padded(given: Inputs, size: int) -> tuple[Inputs, tf.Tensor]:
    """Inputs filled up with zeros to whole microbatches, and how many images there were.

    For evaluation only, where an image changes nothing for the others.
    """
    images = tf.shape(tf.nest.flatten(given)[0])[0]
    more = -images % size

    def fill(part: tf.Tensor) -> tf.Tensor:
        rows = part.shape[0] and part.shape[0] + -part.shape[0] % size
        full = tf.pad(part, [[0, more]] + [[0, 0]] * (part.shape.rank - 1))
        return tf.ensure_shape(full, [rows, *part.shape[1:]])

    return tf.nest.map_structure(fill, given), images


def _check_known(tape: tf.GradientTape) -> None:
    """Raises `InputError` where the pass read a variable that is trained but not known to Keras.

    All that Keras knows of the encoder stands in `weights` and `states`, as plain tensors.
    """
    unknown = [variable.name for variable in tape.watched_variables()]
    if unknown:
        raise InputError(
            "encoder: expected weights that Keras 3 knows, received the variable "
            f"{', '.join(unknown[:3])}, which it would not train; make its layer of Keras 3 "
            "(import keras), an attribute of the model or layer that calls it, and its variable "
            "by add_weight"
        )


def _in_turn(count: int, unrolled: bool, body: Callable[[Any, Any], Any], loop: Any) -> Any:
    """`body(index, loop)` for each index, never two at a time: each has its activations."""
    if not unrolled:
        return tf.while_loop(
            lambda index, _: index < count,
            lambda index, loop: (index + 1, body(index, loop)),
            (tf.constant(0), loop),
            parallel_iterations=1,
            maximum_iterations=count,
        )[1]
    for number in range(count):
        with tf.control_dependencies([x for x in tf.nest.flatten(loop) if tf.is_tensor(x)]):
            index = tf.identity(number)
        loop = body(index, loop)
    return loop


def unseeded_operations() -> list[str]:
    """Operations of the graph being traced that draw other numbers in a second pass."""
    if tf.executing_eagerly():
        return []
    kinds = {x.type for x in tf.compat.v1.get_default_graph().get_operations()}
    return sorted(x for x in kinds if x.startswith(("Random", "TruncatedNormal", "Multinomial")))
