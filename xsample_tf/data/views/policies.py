"""Views of an image: callables `(image, seed) -> [V, size, size, 3]` for anyone's `Dataset.map`.

Randomness is stateless: view v's operation k uses number (v, k) of the seed's stream, so the same
seed gives the same views on any machine, and more views leave the first ones as they are.
"""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from xsample_tf.data.views import autoaugment, color, color_batched, geometry, random_crops
from xsample_tf.errors import InputError


@functools.partial(tf.function, jit_compile=True, autograph=False)
def _as_floats(pixels: tf.Tensor) -> tf.Tensor:
    return tf.cast(pixels, tf.float32) / 255


@dataclasses.dataclass(frozen=True)
class _Colors:
    """SimCLR's colours, of one view on a host and of many on an accelerator."""

    strength: float
    blur: bool

    draws = color.JITTER_DRAWS + 3

    def __call__(self, planes: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Views float32 `[size, size, 3]` of planes `[3, size, size]`, columns before rows."""
        jitter_draws, gray_draw, blur_draws = tf.split(draws, [color.JITTER_DRAWS, 1, 2])
        if self.strength:
            planes = color.jitter(planes, jitter_draws, self.strength, probability=0.8)
        planes = color.grayscale(planes, gray_draw[0], probability=0.2)
        planes = color.blur(planes, blur_draws, probability=0.5) if self.blur else planes
        return tf.transpose(planes, [2, 1, 0])

    def of_batch(self, crops: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """See `SimCLR.finish`."""
        images = tf.reshape(crops, [-1, *crops.shape[2:]])
        numbers = tf.reshape(draws, [-1, self.draws])
        jitter_draws, gray_draws, blur_draws = tf.split(numbers, [color.JITTER_DRAWS, 1, 2], axis=1)
        planes = tf.transpose(tf.cast(images, tf.float32) / 255, [0, 3, 1, 2])
        if self.strength:
            planes = color_batched.jitter(planes, jitter_draws, self.strength, probability=0.8)
        planes = color_batched.grayscale(planes, gray_draws, probability=0.2)
        planes = color_batched.blur(planes, blur_draws, probability=0.5) if self.blur else planes
        return tf.reshape(tf.transpose(planes, [0, 2, 3, 1]), tf.shape(crops))


@functools.cache
def _of_batch(colors: _Colors) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    return tf.function(colors.of_batch, jit_compile=True, autograph=False)


class _Crops(random_crops.RandomViews):
    """The crops of `SimCLR` without its colours, and the numbers of which these are made."""

    def _make(
        self, image: tf.Tensor, windows: tf.Tensor, flips: tf.Tensor, draws: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return random_crops.pixels_of(super()._make(image, windows, flips, draws)), draws


class SimCLR(random_crops.RandomViews):
    """SimCLR's policy (arXiv 2002.05709, appendix A).

    A crop of 8 to 100 % of the area at a ratio of 3/4 to 4/3, flip (p 0.5), colour jitter (p 0.8),
    greyscale (p 0.2), blur (p 0.5).

    Args:
        size: Side of the views in pixels.
        views: V, at least 2.
        blur: Whether to blur; that paper does so on ImageNet and not on CIFAR-10.
        strength: Of the colour jitter, 0 to 2.5.
        min_scale: Smallest crop, as a share of the image's area.

    Attributes:
        crops: The first half of the policy, a callable of image and seed as the policy is, for a
            host that leaves colours to an accelerator: crops uint8 `[V, size, size, 3]` and draws
            float32 `[V, K]`. `finish` is the second half.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> two = SimCLR(224)
        >>> dataset = dataset.map(lambda image, seed: two(image, seed))  # [2, 224, 224, 3]
    """

    def __init__(
        self,
        size: int,
        views: int = 2,
        blur: bool = True,
        strength: float = 1.0,
        min_scale: float = 0.08,
    ):
        if not 0 <= strength <= 2.5:
            raise InputError(f"strength: expected 0 to 2.5, received {strength}")
        self.blur, self.strength = blur, strength
        self._colors = _Colors(float(strength), bool(blur))
        super().__init__(size, views, min_scale, _Colors.draws, self._colors)
        self.crops = _Crops(size, views, min_scale, _Colors.draws, random_crops.plain)

    def finish(self, crops: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Changes the colours of a batch of crops, on the device where it is called.

        Args:
            crops: uint8 `[B, V, size, size, 3]`.
            draws: float32 `[B, V, K]`.

        Returns:
            float32 `[B, V, size, size, 3]` in [0, 1]: the views, but that crops are rounded.

        Example:
            >>> policy = SimCLR(224)
            >>> stream = data.load("data/photos", "train", 256, views=policy.crops)
            >>> model = XSampleModel(encoder, projector, finish_views=policy.finish)
        """
        return _of_batch(self._colors)(crops, draws)


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
        super().__init__(size, views, min_scale, autoaugment.DRAWS, random_crops.plain)
        if size < 3:
            raise InputError(f"size: expected at least 3 pixels for AutoAugment, received {size}")

    def _make(
        self, image: tf.Tensor, windows: tf.Tensor, flips: tf.Tensor, draws: tf.Tensor
    ) -> tf.Tensor:
        pixels = random_crops.pixels_of(super()._make(image, windows, flips, draws))
        augmented = [autoaugment.augment(pixels[view], draws[view]) for view in range(self.views)]
        return _as_floats(tf.stack(augmented))


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
        random_crops.check_size(size)
        self.size = size

    def __call__(self, image: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Returns float32 `[1, size, size, 3]` in [0, 1]; takes the images that the others take."""
        del seed
        return geometry.resize_center(random_crops.checked(image), self.size, 0.875)[tf.newaxis]
