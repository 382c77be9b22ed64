"""The view of evaluation and export."""

import tensorflow as tf

from xsample_tf.data.views import geometry
from xsample_tf.data.views.base import ViewPolicy, as_image


class Evaluation(ViewPolicy):
    """One view without randomness: shorter side to size / 0.875, then the centre.

    An image that has the view's size already stays as it is.

    Args:
        size: Side of the view in pixels.

    Raises:
        InputError: a size below 1.

    Example:
        >>> Evaluation(224)(image).shape
        TensorShape([1, 224, 224, 3])
    """

    def __init__(self, size: int):
        super().__init__(size, views=1)

    def __call__(self, image: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Returns float32 `[1, size, size, 3]` in [0, 1]; takes the images that the others take."""
        del seed
        return geometry.resize_center(as_image(image), self.size, 0.875)[tf.newaxis]
