"""What a network wants done to its pixels, measured, and as a layer inside of an encoder."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from xsample_tf.errors import InputError

_SIDE = 8  # Of the images of one colour that a function of pixels is measured with.


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """A change of pixels in [0, 1]: `(x - mean) / deviation`, channel by channel.

    Attributes:
        mean: Of each channel that the network gets.
        deviation: Of each channel that the network gets.
        reversed: Whether the network gets blue first.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    reversed: bool = False

    def __call__(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the images as the network wants them, through layers in float32."""
        if self == Preprocessing():
            return images
        if self.reversed:
            images = keras.ops.flip(images, axis=-1)
        return keras.layers.Rescaling(
            scale=[1 / deviation for deviation in self.deviation],
            offset=[-m / d for m, d in zip(self.mean, self.deviation, strict=True)],
            dtype="float32",
            name="preprocessing",
        )(images)

    def __str__(self) -> str:
        """What happens to pixels, in words."""
        if self == Preprocessing():
            return "takes pixels in [0, 1]"
        order = ", blue first" if self.reversed else ""
        if len({*zip(self.mean, self.deviation, strict=True)}) == 1:
            low, high = ((x - self.mean[0]) / self.deviation[0] for x in (0, 1))
            return f"scales pixels in [0, 1] to [{low:.4g}, {high:.4g}]{order}"
        mean, deviation = (_listed(values) for values in (self.mean, self.deviation))
        return f"makes pixels in [0, 1] (x - {mean}) / {deviation}{order}"


def of_range(low: float, high: float) -> Preprocessing:
    """Returns what brings [0, 1] to another range of pixels."""
    return Preprocessing((-low / (high - low),) * 3, (1 / (high - low),) * 3)


def measured(function: Callable[[np.ndarray], Any], source: str) -> Preprocessing:
    """Returns what a function of pixels does, from what it makes of black, red, green and blue.

    Args:
        function: Of float32 RGB `[B, H, W, 3]` in [0, 255], such as a `preprocess_input`.
        source: Whose function it is, to begin a message with.

    Raises:
        InputError: It does more than scale and shift the channels, or reverse their order.
    """
    colors = np.concatenate([np.zeros((1, 3)), np.eye(3), np.full((1, 3), 0.5)])
    images = np.broadcast_to(colors[:, None, None, :], (5, _SIDE, _SIDE, 3))
    results = np.array([function((255 * one[None]).astype(np.float32))[0] for one in images])
    black, *pure, grey = results[:, results.shape[1] // 2, results.shape[2] // 2].astype(float)
    matrix = np.array(pure) - black
    backwards = np.abs(np.trace(matrix)) < np.abs(np.trace(matrix[::-1]))
    scale = np.diag(matrix[::-1] if backwards else matrix)
    rest = (matrix[::-1] if backwards else matrix) - np.diag(scale)
    curved = np.abs(black + scale / 2 - grey)
    if not scale.all() or max(np.abs(rest).max(), curved.max()) > 1e-4 * np.abs(scale).max():
        raise InputError(
            f"{source}: expected a preprocessing that scales and shifts channels, received one "
            "that mixes or bends them; save the encoder with its preprocessing as a .keras file"
        )
    return Preprocessing(tuple(-black / scale), tuple(1 / scale), bool(backwards))


def _listed(values: tuple[float, ...]) -> str:
    return f"[{' '.join(f'{value:.3g}' for value in values)}]"
