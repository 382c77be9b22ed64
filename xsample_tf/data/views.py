"""Views of an image: callables `(image, seed) -> [V, size, size, 3]` for anyone's `Dataset.map`.

Randomness is stateless: view v's operation k uses number (v, k) of the seed's stream, so the same
seed gives the same views on any machine, and more views leave the first ones as they are.
"""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from xsample_tf.data import autoaugment, color, color_batch, examples, geometry
from xsample_tf.errors import InputError

_REDUCTIONS = (2, 4, 8)  # What libjpeg decodes at a fraction of the cost.


class _RandomViews:
    """Random resized crop and flip, then what a policy does to the colours, for each of V views.

    Args:
        size: Side of the views in pixels.
        views: V.
        min_scale: Smallest crop.
        color_draws: K.
        finish: What XLA compiles together with the last step of resizing: of planes float32
            `[3, size, size]` in [0, 1], columns before rows, and draws float32 `[K]` in [0, 1).
    """

    def __init__(
        self, size: int, views: int, min_scale: float, color_draws: int, finish: "_Finish"
    ):
        _check_size(size)
        if views < 2:
            raise InputError(f"views: expected at least 2 of each image, received {views}")
        if not 0 < min_scale <= 1:
            raise InputError(
                f"min_scale: expected a share of the image's area in (0, 1], received {min_scale}"
            )
        self.size, self.views, self.min_scale = size, views, min_scale
        self._color_draws, self._second_pass = color_draws, _second_pass(finish)

    def decode(self, content: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Decodes an image for the views of this seed.

        A JPEG of which every window has twice, four or eight times the size of a view, in both
        directions, is decoded at a half, a quarter or an eighth of its sides: its own coefficients
        allow that, and the views need no more.

        Args:
            content: JPEG or PNG bytes.
            seed: int32 or int64 `[2]`, that of the views.

        Returns:
            uint8 `[H, W, 3]`.
        """

        def reductions() -> tf.Tensor:
            sides = tf.io.extract_jpeg_shape(content)[:2]

            def of_windows() -> tf.Tensor:
                windows = self._windows(sides, self._draws(seed)[0])
                enough = tf.reduce_min(windows[:, 2:]) >= self.size * tf.constant(_REDUCTIONS)
                return tf.reduce_sum(tf.cast(enough, tf.int32))

            large = tf.reduce_min(sides) >= self.size * _REDUCTIONS[0]
            return tf.cond(large, of_windows, lambda: tf.constant(0))

        branches = [functools.partial(examples.decode_image, content)]
        branches += [
            functools.partial(tf.io.decode_jpeg, content, channels=3, ratio=ratio)
            for ratio in _REDUCTIONS
        ]
        steps = tf.cond(tf.io.is_jpeg(content), reductions, lambda: tf.constant(0))
        return tf.switch_case(steps, branches)

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
        window_draws, flip_draws, color_draws = self._draws(seed)
        windows = self._windows(tf.shape(image), window_draws)
        return self._make(image, windows, flip_draws[:, 0] < 0.5, color_draws)

    def _draws(self, seed: tf.Tensor) -> list[tf.Tensor]:
        """All random numbers of a seed: for windows, flips and colours, each `[V, K]`."""
        kinds = [geometry.WINDOW_DRAWS, 1, self._color_draws]
        draws = tf.random.stateless_uniform([self.views, sum(kinds)], seed)
        return tf.split(draws, kinds, axis=1)

    def _windows(self, sides: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        return geometry.random_windows(sides[0], sides[1], draws, self.min_scale)

    def _make(
        self, image: tf.Tensor, windows: tf.Tensor, flips: tf.Tensor, draws: tf.Tensor
    ) -> tf.Tensor:
        """Returns the views of these windows int32 `[V, 4]`."""

        def across(view: int, strips: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
            return self._second_pass(strips, width, flips[view], draws[view])

        results = [
            geometry.resize_in_parts(
                geometry.crop(image, windows[view]), self.size, functools.partial(across, view)
            )
            for view in range(self.views)
        ]
        return tf.stack(results)


_Finish = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@functools.cache
def _second_pass(finish: _Finish) -> Callable[..., tf.Tensor]:
    """The last step of resizing and `finish`; the same for equal ones: compiling takes seconds."""

    def across(strips: tf.Tensor, width: tf.Tensor, flip: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        return finish(geometry.squeeze(strips, width, flip), draws)

    return tf.function(across, jit_compile=True, autograph=False)


def _plain(planes: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """The planes as they are, for `_pixels`."""
    del draws
    return planes


@functools.partial(tf.function, jit_compile=True, autograph=False)
def _pixels(planes: tf.Tensor) -> tf.Tensor:
    """Crops uint8 `[V, S, S, 3]` of planes float32 `[V, 3, S, S]`, columns before rows.

    A program of its own: in one with resizing XLA would turn and round in the midst of that, pixel
    by pixel.
    """
    return tf.cast(tf.transpose(planes, [0, 3, 2, 1]) * 255 + 0.5, tf.uint8)


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
            planes = color_batch.jitter(planes, jitter_draws, self.strength, probability=0.8)
        planes = color_batch.grayscale(planes, gray_draws, probability=0.2)
        planes = color_batch.blur(planes, blur_draws, probability=0.5) if self.blur else planes
        return tf.reshape(tf.transpose(planes, [0, 2, 3, 1]), tf.shape(crops))


@functools.cache
def _of_batch(colors: _Colors) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    return tf.function(colors.of_batch, jit_compile=True, autograph=False)


class _Crops(_RandomViews):
    """The crops of `SimCLR` without its colours, and the numbers of which these are made."""

    def _make(
        self, image: tf.Tensor, windows: tf.Tensor, flips: tf.Tensor, draws: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return _pixels(super()._make(image, windows, flips, draws)), draws


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
        self.crops = _Crops(size, views, min_scale, _Colors.draws, _plain)

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

    def __init__(self, size: int, views: int = 2, min_scale: float = 0.08):
        super().__init__(size, views, min_scale, autoaugment.DRAWS, _plain)
        if size < 3:
            raise InputError(f"size: expected at least 3 pixels for AutoAugment, received {size}")

    def _make(
        self, image: tf.Tensor, windows: tf.Tensor, flips: tf.Tensor, draws: tf.Tensor
    ) -> tf.Tensor:
        pixels = _pixels(super()._make(image, windows, flips, draws))
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
