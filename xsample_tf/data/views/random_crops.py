"""What random policies of views have in common: windows, flips, and decoding no more than that.

View v's operation k uses random number (v, k) of the seed: more views leave the first ones as they
are.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from xsample_tf.data.views import decode, geometry
from xsample_tf.data.views.base import ViewPolicy, as_image
from xsample_tf.errors import InputError

_REDUCTIONS = (2, 4, 8)  # What libjpeg decodes at a fraction of the cost.


class RandomViews(ViewPolicy):
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
        super().__init__(size, views)
        if not 0 < min_scale <= 1:
            raise InputError(
                f"min_scale: expected a share of the image's area in (0, 1], received {min_scale}"
            )
        self.min_scale = min_scale
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

        branches = [functools.partial(decode.decode_image, content)]
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
        image = as_image(image)
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


def plain(planes: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """The planes as they are, for `pixels_of`."""
    del draws
    return planes


@functools.partial(tf.function, jit_compile=True, autograph=False)
def pixels_of(planes: tf.Tensor) -> tf.Tensor:
    """Crops uint8 `[V, S, S, 3]` of planes float32 `[V, 3, S, S]`, columns before rows.

    A program of its own: in one with resizing XLA would turn and round in the midst of that, pixel
    by pixel.
    """
    return tf.cast(tf.transpose(planes, [0, 3, 2, 1]) * 255 + 0.5, tf.uint8)
