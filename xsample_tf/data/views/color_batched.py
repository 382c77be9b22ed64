"""SimCLR's colour operations on many images at once, for an accelerator.

The operations are those of `color`, which for one image decides before it computes. Here all are
computed and then selected, so that all shapes are fixed and nothing waits for a decision.
"""

import tensorflow as tf

from xsample_tf.data.views import color


def jitter(images: tf.Tensor, draws: tf.Tensor, strength: float, probability: float) -> tf.Tensor:
    """`color.jitter` of planes `[N, 3, H, W]`, with draws `[N, JITTER_DRAWS]`."""
    amounts = _each(color.jitter_amounts(draws[:, 1:5], strength))
    order = _each(tf.argsort(draws[:, 5:9], axis=1))
    changed = images
    for step in range(len(color.JITTER)):
        results = [operation(changed, amounts[k]) for k, operation in enumerate(color.JITTER)]
        for k, result in enumerate(results):
            changed = tf.where(order[step] == k, result, changed)
    return tf.where(_each(draws[:, :1])[0] < probability, changed, images)


def grayscale(images: tf.Tensor, draws: tf.Tensor, probability: float) -> tf.Tensor:
    """`color.grayscale` of planes `[N, 3, H, W]`, with draws `[N, 1]`."""
    return tf.where(_each(draws)[0] < probability, color.gray(images), images)


def blur(images: tf.Tensor, draws: tf.Tensor, probability: float) -> tf.Tensor:
    """`color.blur` of planes `[N, 3, S, S]`, with draws `[N, 2]`."""
    radius = color.blur_radius(images.shape[-1])
    if radius == 0:
        return images
    whether, sigma = _each(draws)
    blurred = color.convolve(images, color.blur_sigma(sigma), radius)
    return tf.where(whether < probability, blurred, images)


def _each(draws: tf.Tensor) -> list[tf.Tensor]:
    """The columns of `[N, K]`, each as `[N, 1, 1, 1]`."""
    return tf.unstack(draws[:, :, tf.newaxis, tf.newaxis, tf.newaxis], axis=1)
