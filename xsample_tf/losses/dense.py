"""The textbook form of the loss: every matrix written out, O(N^2) memory."""

import tensorflow as tf

from xsample_tf.graphs.base import TIE


def dense_rows(
    views: tf.Tensor,
    similarity: tf.Tensor,
    temperature: tf.Tensor,
    target_temperature: float,
    exclude_self: bool,
    sides: int = 1,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Cross-entropy of the predicted graph against the target graph (arXiv 2407.18134, section 3).

    Args:
        views: Float `[B, V, D]` of unit length; with two sides, V / 2 views of each.
        similarity: Float `[B, B]`, the graph between images; takes no gradient.
        temperature: Scalar tensor, temperature of the predicted softmax.
        target_temperature: Temperature of the target softmax; 0 is its limit.
        exclude_self: Whether a view is left out of its own candidates in both softmaxes.
        sides: 1 where all views are each other's candidates, 2 where those of the other side are.

    Returns:
        The loss `[B]`, mean over an image's views, and of the same shape "target_entropy" (nats),
        "own_mass", the target's mass on the image's own other views, and "log_partition", the log
        of the predicted softmax's denominator.
    """
    batch, per_image, size = tf.unstack(tf.shape(views))
    count = batch * per_image
    flat = tf.reshape(views, [count, size])
    image = tf.repeat(tf.range(batch), per_image)
    side = tf.tile(tf.range(per_image) // (views.shape[1] // sides), [batch])
    itself = tf.eye(count, dtype=tf.bool)
    same_image = image[:, tf.newaxis] == image[tf.newaxis, :]
    candidate = side[:, tf.newaxis] + side[tf.newaxis, :] == sides - 1
    candidate = candidate & ~itself if exclude_self else candidate

    # One number a pair of images, for all pairs of their views.
    relation = similarity[:, tf.newaxis, :, tf.newaxis]
    relation = tf.broadcast_to(relation, [batch, per_image, batch, per_image])
    relation = tf.reshape(relation, [count, count])
    relation = tf.where(same_image, tf.ones_like(relation), relation)
    target, entropy = target_softmax(tf.stop_gradient(relation), candidate, target_temperature)

    logits = tf.matmul(flat, flat, transpose_b=True) / temperature
    nothing = tf.cast(-float("inf"), logits.dtype)
    log_partition = tf.reduce_logsumexp(tf.where(candidate, logits, nothing), axis=1)
    loss = log_partition - tf.reduce_sum(target * logits, axis=1)
    own = tf.where(same_image & ~itself, target, tf.zeros_like(target))

    def by_image(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.reshape(values, [batch, per_image]), axis=1)

    return by_image(loss), {
        "target_entropy": by_image(entropy),
        "own_mass": by_image(tf.reduce_sum(own, axis=1)),
        "log_partition": by_image(log_partition),
    }


def target_softmax(
    similarity: tf.Tensor, candidate: tf.Tensor, target_temperature: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """The target: a softmax of each row's similarities over its candidates.

    Args:
        similarity: Float `[R, C]`.
        candidate: Bool `[R, C]`, at least one in each row.
        target_temperature: tau_s; 0 is the limit, uniform over the most similar candidates.

    Returns:
        The target `[R, C]`, 0 outside the candidates, and its entropy `[R]` in nats.
    """
    nothing = tf.cast(-float("inf"), similarity.dtype)
    allowed = tf.where(candidate, similarity, nothing)
    largest = tf.reduce_max(allowed, axis=1, keepdims=True)
    if target_temperature == 0:
        # NaN compares false with everything; the term 0 * sum lets it stay NaN.
        invalid = 0 * tf.reduce_sum(similarity, axis=1, keepdims=True)
        positive = tf.cast(allowed >= largest - TIE, similarity.dtype) + invalid
        count = tf.reduce_sum(positive, axis=1, keepdims=True)
        return positive / count, tf.math.log(count[:, 0])
    # Shifted before the division: at a low temperature the logits themselves are too coarse.
    logits = (allowed - largest) / target_temperature
    log_partition = tf.reduce_logsumexp(logits, axis=1, keepdims=True)
    target = tf.exp(logits - log_partition)
    expected = tf.reduce_sum(target * tf.where(candidate, logits, tf.zeros_like(logits)), axis=1)
    return target, log_partition[:, 0] - expected
