"""Views of an image: callables `(image, seed) -> [V, size, size, 3]` for anyone's `Dataset.map`.

Randomness is stateless: view v's operation k uses number (v, k) of the seed's stream, so the same
seed gives the same views on any machine, and more views leave the first ones as they are.
"""

import abc
import functools

import tensorflow as tf

from xsample_tf.data import autoaugment, color, geometry
from xsample_tf.errors import InputError


class _RandomViews(abc.ABC):
    """Random resized crop and flip, then what a policy does to the colours, for each of V views."""

    _color_draws: int

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
        """Makes the views of one image.

        Args:
            image: uint8, or floating in [0, 1], `[H, W, 3]` of any size from 1x1 pixel.
            seed: int32 or int64 `[2]`.

        Returns:
            float32 `[V, size, size, 3]` in [0, 1].

        Raises:
            InputError: an image of another type or shape, as far as the graph shows it.
        """
        image = _checked(image)
        columns = geometry.WINDOW_DRAWS + 1 + self._color_draws
        draws = tf.random.stateless_uniform([self.views, columns], seed)
        window_draws, flip_draws, color_draws = tf.split(
            draws, [geometry.WINDOW_DRAWS, 1, self._color_draws], axis=1
        )
        sides = tf.shape(image)
        windows = geometry.random_windows(sides[0], sides[1], window_draws, self.min_scale)
        made = self._make(image, windows, flip_draws[:, 0] < 0.5, color_draws)
        return tf.ensure_shape(made, [self.views, self.size, self.size, 3])

    def _make(
        self, image: tf.Tensor, windows: tf.Tensor, flips: tf.Tensor, draws: tf.Tensor
    ) -> tf.Tensor:
        """Returns the views of these windows int32 `[V, 4]`."""

        def across(view: int, strips: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
            return self._across(strips, width, flips[view], draws[view])

        results = [
            geometry.resize_in_parts(
                geometry.crop(image, windows[view]), self.size, functools.partial(across, view)
            )
            for view in range(self.views)
        ]
        return tf.stack(results)

    @functools.partial(tf.function, jit_compile=True, autograph=False)
    def _across(
        self, strips: tf.Tensor, width: tf.Tensor, flip: tf.Tensor, draws: tf.Tensor
    ) -> tf.Tensor:
        return self._finish(geometry.squeeze(strips, width, flip), draws)

    @abc.abstractmethod
    def _finish(self, planes: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """What XLA compiles together with the last step of resizing.

        Args:
            planes: float32 `[3, size, size]` in [0, 1], columns before rows.
            draws: float32 `[_color_draws]`, uniform in [0, 1).
        """


class SimCLR(_RandomViews):
    """SimCLR's policy (arXiv 2002.05709, appendix A).

    A crop of 8 to 100 % of the area at a ratio of 3/4 to 4/3, flip (p 0.5), colour jitter (p 0.8),
    greyscale (p 0.2), blur (p 0.5).

    Args:
        size: Side of the views in pixels.
        views: V, at least 2.
        blur: Whether to blur; that paper does so on ImageNet and not on CIFAR-10.
        strength: Of the colour jitter, 0 to 2.5.
        min_scale: Smallest crop, as a share of the image's area.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> two = SimCLR(224)
        >>> dataset = dataset.map(lambda image, seed: two(image, seed))  # [2, 224, 224, 3]
    """

    _color_draws = color.JITTER_DRAWS + 3

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

    def _finish(self, planes: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        jitter_draws, gray_draw, blur_draws = tf.split(draws, [color.JITTER_DRAWS, 1, 2])
        if self.strength:
            planes = color.jitter(planes, jitter_draws, self.strength, probability=0.8)
        planes = color.grayscale(planes, gray_draw[0], probability=0.2)
        planes = color.blur(planes, blur_draws, probability=0.5) if self.blur else planes
        return tf.transpose(planes, [2, 1, 0])


class AutoAugment(_RandomViews):
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

    _color_draws = autoaugment.DRAWS

    def __init__(self, size: int, views: int = 2, min_scale: float = 0.08):
        super().__init__(size, views, min_scale)
        if size < 3:
            raise InputError(f"size: expected at least 3 pixels for AutoAugment, received {size}")

    def _make(
        self, image: tf.Tensor, windows: tf.Tensor, flips: tf.Tensor, draws: tf.Tensor
    ) -> tf.Tensor:
        # Outside of XLA, which would fuse this with the resizing and take three times as long.
        pixels = tf.transpose(super()._make(image, windows, flips, draws), [0, 3, 2, 1])
        augmented = [autoaugment.augment(pixels[view], draws[view]) for view in range(self.views)]
        return tf.cast(tf.stack(augmented), tf.float32) / 255

    def _finish(self, planes: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        del draws
        return tf.cast(planes * 255 + 0.5, tf.uint8)


class Evaluation:
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
        _check_size(size)
        self.size = size

    def __call__(self, image: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Returns float32 `[1, size, size, 3]` in [0, 1]; takes the images that the others take."""
        del seed
        return geometry.resize_center(_checked(image), self.size, 0.875)[tf.newaxis]


def _check_size(size: int) -> None:
    if size < 1:
        raise InputError(f"size: expected a side of at least 1 pixel, received {size}")


def _checked(image: tf.Tensor) -> tf.Tensor:
    image = tf.convert_to_tensor(image)
    if not image.shape.is_compatible_with([None, None, 3]):
        raise InputError(f"image: expected RGB of shape [H, W, 3], received {image.shape}")
    if image.dtype != tf.uint8 and not image.dtype.is_floating:
        raise InputError(
            f"image: expected uint8, or floating in [0, 1], received {image.dtype.name}"
        )
    return image if image.dtype == tf.uint8 else tf.cast(image, tf.float32)
