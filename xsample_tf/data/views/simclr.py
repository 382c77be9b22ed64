"""SimCLR's augmentation policy, on the host, or with its colours left to an accelerator."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.data.views import color, color_batched, random_crops
from xsample_tf.data.views.base import register
from xsample_tf.errors import InputError


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


@keras.saving.register_keras_serializable("xsample_tf")
@register("simclr")
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

    splits_stages = True

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

    @classmethod
    def from_options(cls, options: Any, **own: Any) -> "SimCLR":
        """Builds the policy with a run's `blur`, `color_strength` and `min_crop`."""
        return cls(
            options.image_size,
            views=options.views,
            blur=options.blur,
            strength=options.color_strength,
            min_scale=options.min_crop,
            **own,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, for a saved model with `finish_views`."""
        names = ("size", "views", "blur", "strength", "min_scale")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SimCLR":
        """Builds the policy from `get_config`'s result."""
        return cls(**config)

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
