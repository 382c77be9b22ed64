"""The base class of augmentation policies, and the policies that a run can choose by name."""

import abc
from typing import Any

import tensorflow as tf

from xsample_tf.data.views.decode import decode_image
from xsample_tf.errors import InputError
from xsample_tf.registry import Registry


class ViewPolicy(abc.ABC):
    """Makes several views of an image; a callable `(image, seed)` for anyone's `Dataset.map`.

    Randomness is stateless: the same seed gives the same views on any machine. Draw random numbers
    by `tf.random.stateless_uniform` and the like, or a run cannot be continued exactly.

    A policy of your own derives from this class and implements `__call__`. `register` makes it a
    choice of `tools/train.py --augmentation`; an option that it declares there is a keyword of the
    constructor.

    A policy may leave its last operations to the training step, where they run on the accelerator
    for the whole batch. It then sets `splits_stages`, and has two stages:

    - `crops`, an attribute, is the host's: a policy too, or any callable of image and seed. It
      returns a tuple of tensors in place of the views.
    - `finish` is the device's. It makes the batch's views of the batched tensors.

    Args:
        size: Side of the views in pixels, at least 1.
        views: V, the number of views, at least 1. Defaults to 2.

    Attributes:
        splits_stages: Whether the policy has `crops` and `finish`. Defaults to False.

    Raises:
        InputError: An argument out of range.

    Example:
        >>> @views.register("noise", [Option("noise_level", 0.1, "Standard deviation.")])
        ... class Noise(views.ViewPolicy):
        ...     def __init__(self, size, views=2, noise_level=0.1):
        ...         super().__init__(size, views)
        ...         self.noise_level = noise_level
        ...
        ...     def __call__(self, image, seed):
        ...         image = tf.image.resize(tf.cast(image, tf.float32) / 255, [self.size] * 2)
        ...         shape = [self.views, *image.shape]
        ...         noise = tf.random.stateless_normal(shape, seed, stddev=self.noise_level)
        ...         return tf.clip_by_value(image + noise, 0.0, 1.0)
    """

    splits_stages: bool = False

    def __init__(self, size: int, views: int = 2):
        if size < 1:
            raise InputError(f"size: expected a side of at least 1 pixel, received {size}")
        if views < 1:
            raise InputError(f"views: expected at least 1 of each image, received {views}")
        self.size, self.views = size, views

    @classmethod
    def from_options(cls, options: Any, **own: Any) -> "ViewPolicy":
        """Builds the policy for a run.

        Override it where the constructor takes other settings of a run than `image_size` and
        `views`.

        Args:
            options: The run's settings, a `training.Options`.
            **own: The checked values of the options that the policy declares itself.
        """
        return cls(options.image_size, views=options.views, **own)

    def decode(self, content: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Decodes an image for `__call__`. Override it to decode no more than the views need.

        Args:
            content: The bytes of a JPEG or PNG, a string scalar.
            seed: int32 or int64 `[2]`, the seed that `__call__` gets.

        Returns:
            uint8 `[H, W, 3]`.
        """
        del seed
        return decode_image(content)

    @abc.abstractmethod
    def __call__(self, image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Makes the views of one image.

        Args:
            image: What `decode` returns: uint8 `[H, W, 3]` of any size.
            seed: int32 or int64 `[2]`.

        Returns:
            float32 `[V, size, size, 3]` in [0, 1].
        """

    def finish(self, *crops: tf.Tensor) -> tf.Tensor:
        """Makes the views of a batch of what `crops` returned, on the device where it is called.

        Args:
            *crops: The tensors of `crops`, each with the batch first.

        Returns:
            float32 `[B, V, size, size, 3]` in [0, 1].
        """
        raise NotImplementedError(f"abstract: {type(self).__name__} must implement finish")


# The policies that a run can choose by name.
AUGMENTATIONS = Registry("augmentation", "xsample_tf.data.views", ViewPolicy)
register = AUGMENTATIONS.register


def as_image(image: tf.Tensor) -> tf.Tensor:
    """Returns a uint8 image as it is, a floating one as float32.

    Raises:
        InputError: Another dtype, or a static shape other than `[H, W, 3]`.
    """
    image = tf.convert_to_tensor(image)
    if not image.shape.is_compatible_with([None, None, 3]):
        raise InputError(f"image: expected RGB of shape [H, W, 3], received {image.shape}")
    if image.dtype != tf.uint8 and not image.dtype.is_floating:
        raise InputError(
            f"image: expected uint8, or floating in [0, 1], received {image.dtype.name}"
        )
    return image if image.dtype == tf.uint8 else tf.cast(image, tf.float32)
