"""The policy of crops and flips alone, as CLIP is trained with."""

from typing import Any

import tensorflow as tf

from xsample_tf.data.views import random_crops
from xsample_tf.data.views.base import register


@register("crops")
class Crops(random_crops.RandomViews):
    """Random resized crop and flip; the colours stay as they are.

    Args:
        size: Side of the views in pixels.
        views: V, at least 1. Defaults to 2.
        min_scale: Smallest crop, as a share of the image's area. Defaults to 0.08; CLIP takes 0.9.

    Raises:
        InputError: An argument out of range.

    Example:
        >>> Crops(224, views=1, min_scale=0.9)(image, seed=[0, 1]).shape
        TensorShape([1, 224, 224, 3])
    """

    def __init__(self, size: int, views: int = 2, min_scale: float = 0.08):
        super().__init__(size, views, min_scale, 0, _as_view)

    @classmethod
    def from_options(cls, options: Any, **own: Any) -> "Crops":
        """Builds the policy with a run's `min_crop`."""
        return cls(options.image_size, views=options.views, min_scale=options.min_crop, **own)


def _as_view(planes: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """The view float32 `[size, size, 3]` of planes `[3, size, size]`, columns before rows."""
    del draws
    return tf.transpose(planes, [2, 1, 0])
