"""Views of an image: the augmentation policies for training, and the view for evaluation.

A policy is a callable of an image and a seed, usable in anyone's `ds.map`. All randomness comes
from the seed, so the same seed gives the same views.
"""

import tensorflow as tf

from xsample_tf.data import autoaugment, color
from xsample_tf.errors import InputError

_CROP_ATTEMPTS = 10


class _Views:
    """Several random views: a random resized crop and flip, and what a policy adds."""

    def __init__(self, size: int, views: int, min_scale: float):
        _check_size(size)
        if views < 2:
            raise InputError(f"views: expected at least 2 of each image, received {views}")
        if not 0 < min_scale <= 1:
            raise InputError(
                f"min_scale: expected a share of the image's area in (0, 1], received {min_scale}"
            )
        self.size, self.views, self.min_scale = size, views, min_scale

    def __call__(self, image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Returns float32 views `[V, size, size, 3]` in [0, 1].

        Args:
            image: uint8, or float in [0, 1], `[H, W, 3]` of any size.
            seed: int32 `[2]`.
        """
        views = []
        for index in range(self.views):
            view_seed = tf.random.experimental.stateless_fold_in(seed, index)
            crop_seed, policy_seed = tf.unstack(
                tf.random.experimental.stateless_split(view_seed, 2)
            )
            views.append(self._policy(self._crop(image, crop_seed), policy_seed))
        return tf.stack(views)

    def _crop(self, image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A random resized crop (arXiv 1409.4842), flipped half of the time."""
        top, left, height, width, flip = _random_box(tf.shape(image), seed, self.min_scale)
        cropped = _resize(image[top : top + height, left : left + width], self.size, self.size)
        return tf.where(flip, cropped[:, ::-1], cropped)

    def _policy(self, view: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError(f"abstract: {type(self).__name__} must implement _policy")


class SimCLR(_Views):
    """SimCLR's policy (arXiv 2002.05709, appendix A): crop, flip, colour jitter, grey, blur.

    Args:
        size: Side of a view in pixels.
        views: V, at least 2.
        blur: Gaussian blur, half of the time; the kernel covers a tenth of the side.
        strength: Of the colour jitter: brightness, contrast and saturation by up to 0.8 times it,
            hue by 0.2 times it.
        min_scale: Smallest area of a crop, as a share of the image's.

    Raises:
        InputError: A size, number of views, strength or scale out of range.

    Example:
        >>> SimCLR(224)(image, tf.constant([0, 1])).shape
        TensorShape([2, 224, 224, 3])
    """

    def __init__(
        self,
        size: int,
        views: int = 2,
        blur: bool = True,
        strength: float = 1.0,
        min_scale: float = 0.08,
    ):
        super().__init__(size, views, min_scale)
        if not 0 <= strength <= 2.5:
            raise InputError(f"strength: expected 0 to 2.5, received {strength}")
        self.blur, self.strength = blur, strength

    def _policy(self, view: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        jitter_seed, order_seed, blur_seed = tf.unstack(
            tf.random.experimental.stateless_split(seed, 3)
        )
        chance = tf.random.stateless_uniform([3], seed)
        view = tf.cond(
            chance[0] < 0.8,
            lambda: color.jitter(view, jitter_seed, order_seed, self.strength),
            lambda: view,
        )
        view = tf.where(chance[1] < 0.2, color.gray(view), view)
        if self.blur:
            view = tf.cond(chance[2] < 0.5, lambda: color.blur(view, blur_seed), lambda: view)
        return tf.ensure_shape(view, [self.size, self.size, 3])


class AutoAugment(_Views):
    """The X-CLR paper's policy: random resized crop, flip, AutoAugment's ImageNet policy.

    AutoAugment is arXiv 1805.09501 (appendix A, ImageNet): one of 25 pairs of operations, each with
    its own probability and magnitude.

    Args:
        size: Side of a view in pixels.
        views: V, at least 2.
        min_scale: Smallest area of a crop, as a share of the image's.

    Raises:
        InputError: A size, number of views or scale out of range.
    """

    def __init__(self, size: int, views: int = 2, min_scale: float = 0.08):
        super().__init__(size, views, min_scale)

    def _policy(self, view: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(autoaugment.imagenet_policy(view, seed), [self.size, self.size, 3])


class Evaluation:
    """The view for evaluation: shorter side to size / 0.875, then the centre; one view, no chance.

    Args:
        size: Side of the view in pixels.

    Raises:
        InputError: A size below 1.
    """

    def __init__(self, size: int):
        _check_size(size)
        self.size = size

    def __call__(self, image: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Returns float32 `[1, size, size, 3]` in [0, 1]; the seed is not used."""
        shape = tf.cast(tf.shape(image)[:2], tf.float32)
        scale = round(self.size / 0.875) / tf.reduce_min(shape)
        sides = tf.maximum(tf.cast(tf.round(shape * scale), tf.int32), self.size)
        resized = _resize(image, sides[0], sides[1])
        offset = (sides - self.size) // 2
        view = resized[offset[0] : offset[0] + self.size, offset[1] : offset[1] + self.size]
        return tf.ensure_shape(view[None], [1, self.size, self.size, 3])


def _check_size(size: int) -> None:
    if size < 1:
        raise InputError(f"size: expected a side of at least 1 pixel, received {size}")


def _resize(image: tf.Tensor, height: int | tf.Tensor, width: int | tf.Tensor) -> tf.Tensor:
    """Antialiased bilinear resize of uint8 or float to float32 in [0, 1]."""
    scale = 1 / 255 if image.dtype == tf.uint8 else 1.0
    resized = tf.image.resize(image, [height, width], antialias=True)
    return tf.clip_by_value(tf.cast(resized, tf.float32) * scale, 0, 1)


def _random_box(shape: tf.Tensor, seed: tf.Tensor, min_scale: float) -> tuple[tf.Tensor, ...]:
    """Top, left, height and width of a crop of random area and aspect, and whether to flip it."""
    height, width = tf.cast(shape[0], tf.float32), tf.cast(shape[1], tf.float32)
    chance = tf.random.stateless_uniform([2 * _CROP_ATTEMPTS + 3], seed)
    area = height * width * (min_scale + (1 - min_scale) * chance[:_CROP_ATTEMPTS])
    widest = tf.math.log(4 / 3)
    aspect = tf.exp(widest * (2 * chance[_CROP_ATTEMPTS : 2 * _CROP_ATTEMPTS] - 1))
    heights, widths = tf.round(tf.sqrt(area / aspect)), tf.round(tf.sqrt(area * aspect))
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
    first = tf.argmax(tf.cast(fits, tf.int32))
    # No attempt fits a very long image: take its centre's share instead, as wide as it goes.
    any_fits = tf.reduce_any(fits)
    crop_height = tf.where(any_fits, heights[first], tf.minimum(height, tf.round(width * 4 / 3)))
    crop_width = tf.where(any_fits, widths[first], tf.minimum(width, tf.round(height * 4 / 3)))
    crop_height, crop_width = tf.maximum(crop_height, 1), tf.maximum(crop_width, 1)
    top = tf.floor(chance[-3] * (height - crop_height + 1))
    left = tf.floor(chance[-2] * (width - crop_width + 1))
    box = [tf.cast(value, tf.int32) for value in (top, left, crop_height, crop_width)]
    return (*box, chance[-1] < 0.5)
