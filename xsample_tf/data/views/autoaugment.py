"""AutoAugment's ImageNet policy (arXiv 1805.09501, appendix)."""

import functools
from typing import Any

import tensorflow as tf

from xsample_tf.data.views import random_crops
from xsample_tf.data.views.autoaugment_operations import OPERATIONS
from xsample_tf.data.views.base import register
from xsample_tf.errors import InputError

# 1 for the sub-policy; for each of its two operations 1 for whether to apply it, 1 for its sign.
DRAWS = 5

# 25 sub-policies: two operations, each with its probability and magnitude (0 where it has none).
POLICY = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("auto_contrast", 0.6, 0)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 0), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 0)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 0)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 0), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 0)),
    (("equalize", 0.0, 0), ("equalize", 0.8, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 0)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 0)),
    (("color", 0.4, 0), ("equalize", 0.6, 0)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("auto_contrast", 0.6, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
)


def augment(image: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Applies one random sub-policy.

    Args:
        image: uint8 `[H, W, 3]`, at least 3x3.
        draws: float32 `[DRAWS]`, uniform in [0, 1).

    Returns:
        uint8 `[H, W, 3]`.
    """
    names = list(OPERATIONS)
    chosen = tf.cast(draws[0] * len(POLICY), tf.int32)
    for step in range(2):
        operations, probabilities, magnitudes = zip(*(pair[step] for pair in POLICY), strict=True)
        operation = tf.gather([names.index(name) for name in operations], chosen)
        applied = draws[1 + 2 * step] < tf.gather(probabilities, chosen)
        sign = tf.where(draws[2 + 2 * step] < 0.5, -1.0, 1.0)
        level = sign * tf.gather([magnitude / 9 for magnitude in magnitudes], chosen)
        branches = [functools.partial(apply, image, level) for apply in OPERATIONS.values()]
        branches.append(functools.partial(tf.identity, image))
        image = tf.switch_case(tf.where(applied, operation, len(names)), branches)
    return image


@functools.partial(tf.function, jit_compile=True, autograph=False)
def _as_floats(pixels: tf.Tensor) -> tf.Tensor:
    return tf.cast(pixels, tf.float32) / 255


@register("autoaugment")
class AutoAugment(random_crops.RandomViews):
    """The X-CLR paper's policy: random resized crop, flip, AutoAugment's ImageNet policy.

    That AutoAugment is used is known of the paper; the crop of 8 to 100 % of the area and the flip
    before it are inferred, as is the usual order.

    Args:
        size: Side of the views in pixels, at least 3.
        views: V, at least 2.
        min_scale: Smallest crop, as a share of the image's area.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> AutoAugment(224, views=4)(image, seed=[0, 1]).shape
        TensorShape([4, 224, 224, 3])
    """

    def __init__(self, size: int, views: int = 2, min_scale: float = 0.08):
        super().__init__(size, views, min_scale, DRAWS, random_crops.plain)
        if size < 3:
            raise InputError(f"size: expected at least 3 pixels for AutoAugment, received {size}")

    @classmethod
    def from_options(cls, options: Any, **own: Any) -> "AutoAugment":
        """Builds the policy with a run's `min_crop`."""
        return cls(options.image_size, views=options.views, min_scale=options.min_crop, **own)

    def _make(
        self, image: tf.Tensor, windows: tf.Tensor, flips: tf.Tensor, draws: tf.Tensor
    ) -> tf.Tensor:
        pixels = random_crops.pixels_of(super()._make(image, windows, flips, draws))
        augmented = [augment(pixels[view], draws[view]) for view in range(self.views)]
        return _as_floats(tf.stack(augmented))
