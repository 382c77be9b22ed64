"""The textbook form of the loss: every matrix written out, O(N^2) memory."""

import tensorflow as tf

# Candidates this close to the row's most similar one share the target at target temperature 0;
# float equality would depend on how the products were rounded.
TIE = 1e-4


def target_rows(
    similarity: tf.Tensor, candidate: tf.Tensor, target_temperature: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """The target softmax and its entropy (arXiv 2407.18134, the softmax of the graph's rows).

    Args:
        similarity: Float `[R, C]`, the graph between anchors and candidates.
        candidate: Bool `[R, C]`; False leaves an entry out of the softmax.
        target_temperature: Temperature of the softmax; 0 is its limit, uniform over the most
            similar candidates.

    Returns:
        The target `[R, C]`, whose rows sum to 1, and its entropy `[R]` in nats.
    """
    nothing = tf.cast(-float("inf"), similarity.dtype)
    allowed = tf.where(candidate, similarity, nothing)
    largest = tf.reduce_max(allowed, axis=1, keepdims=True)
    if target_temperature == 0:
        # NaN compares false with everything; the term 0 * sum lets an invalid row stay NaN.
        invalid = 0 * tf.reduce_sum(similarity, axis=1, keepdims=True)
        positive = tf.cast(allowed >= largest - TIE, similarity.dtype) + invalid
        count = tf.reduce_sum(positive, axis=1, keepdims=True)
        return positive / count, tf.math.log(count[:, 0])
    # Shifted before the division: at a low temperature the logits themselves are too coarse.
    logits = (allowed - largest) / target_temperature
    log_partition = tf.reduce_logsumexp(logits, axis=1, keepdims=True)
    target = tf.exp(logits - log_partition)
    entropy = log_partition[:, 0] - tf.reduce_sum(
        target * tf.where(candidate, logits, tf.zeros_like(logits)), axis=1
    )
    return target, entropy


def dense_rows(
    embeddings: tf.Tensor,
    similarity: tf.Tensor,
    temperature: tf.Tensor,
    target_temperature: float,
    exclude_self: bool,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Cross-entropy of the predicted graph against the target graph, one value a view.

    Args:
        embeddings: Float `[B, V, D]` of unit length.
        similarity: Float `[B, B]`, the graph between images, 1 on its diagonal; takes no gradient.
        temperature: Scalar tensor, temperature of the predicted softmax.
        target_temperature: Temperature of the target softmax; 0 is its limit.
        exclude_self: Whether a view is left out of its own candidates in both softmaxes.

    Returns:
        The loss `[B, V]` and per view `[B, V]` "target_entropy" (nats) and "own_mass", the target's
        mass on the image's own other views.
    """
    batch, views, size = tf.unstack(tf.shape(embeddings))
    count = batch * views
    flat = tf.reshape(embeddings, [count, size])
    image = tf.repeat(tf.range(batch), views)
    itself = tf.eye(count, dtype=tf.bool)
    candidate = ~itself if exclude_self else tf.ones_like(itself)

    relation = tf.gather(tf.gather(similarity, image), image, axis=1)
    target, entropy = target_rows(tf.stop_gradient(relation), candidate, target_temperature)
    target, entropy = tf.stop_gradient(target), tf.stop_gradient(entropy)

    logits = tf.matmul(flat, flat, transpose_b=True) / temperature
    nothing = tf.cast(-float("inf"), logits.dtype)
    log_partition = tf.reduce_logsumexp(tf.where(candidate, logits, nothing), axis=1)
    loss = log_partition - tf.reduce_sum(target * logits, axis=1)

    own = (image[:, None] == image[None, :]) & ~itself
    own_mass = tf.reduce_sum(tf.where(own, target, tf.zeros_like(target)), axis=1)
    shape = [batch, views]
    return tf.reshape(loss, shape), {
        "target_entropy": tf.reshape(entropy, shape),
        "own_mass": tf.reshape(own_mass, shape),
    }
