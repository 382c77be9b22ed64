"""Generated scenes: images with captions, for a first run and for tests without a download.

An object (label, colour, texture, size) stands in varied place, rotation and light before a
background that the captions name too. Objects, colours and backgrounds are independent unless
`correlation` ties the background to the object in the training split, as nature does with cows
and grass.
"""

import operator
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from xsample_tf.data.scenes.backgrounds import BACKGROUNDS
from xsample_tf.data.scenes.captions import captions
from xsample_tf.data.scenes.choices import COLOURS, SIZES, TEXTURES, Draws, draw
from xsample_tf.data.scenes.rendering import render
from xsample_tf.data.scenes.shapes import SHAPES
from xsample_tf.errors import InputError, suggest

CLASS_NAMES: tuple[str, ...] = tuple(SHAPES)
BACKGROUND_NAMES: tuple[str, ...] = tuple(BACKGROUNDS)
SPLITS: tuple[str, ...] = ("train", "val", "test")
_COLOUR_NAMES, _SIZE_NAMES = tuple(COLOURS), tuple(SIZES)
MINIMUM_SIZE, MAXIMUM_SIZE = 16, 1024

# Scenes are drawn in whole blocks of consecutive indices and rendered in groups at fixed places, so
# that an image never depends on how many were asked for and arrays are long enough for NumPy.
_BLOCK = 64
_GROUP_PIXELS = 1 << 18


class Scene(NamedTuple):
    """One generated image and what is in it.

    Attributes:
        image: RGB, uint8 [size, size, 3].
        captions: Two sentences that name the object with an attribute or more; the first also
            names the background.
        label: Index of the object in `CLASS_NAMES`.
        object: Its name.
        colour: One of `COLOURS`.
        texture: "plain", "striped", "spotted" or "checkered".
        scale: "small", "medium" or "large".
        background: One of `BACKGROUND_NAMES`.
    """

    image: np.ndarray
    captions: tuple[str, str]
    label: int
    object: str
    colour: str
    texture: str
    scale: str
    background: str


def generate(
    count: int,
    seed: int = 0,
    size: int = 64,
    split: str = "train",
    correlation: float = 0.0,
    start: int = 0,
) -> Iterator[Scene]:
    """Generates captioned scenes.

    Scene i depends on (seed, split, correlation, size, i) alone, so that several processes can
    generate parts of one data set by `start`; what it shows is the same at every size.

    Args:
        count: Number of scenes, at least 1.
        seed: Any whole number from 0.
        size: Side of the square image in pixels, 16 to 1024.
        split: "train", "val" or "test"; the splits share no scene.
        correlation: Probability in [0, 1] that a training scene takes the background of its object
            (that of the same index); otherwise, and in "val" and "test" always, the background is
            drawn uniformly.
        start: Index of the first scene.

    Returns:
        An iterator over `count` scenes.

    Raises:
        InputError: An argument is out of its range; raised at the call.

    Example:
        >>> scene = next(generate(1, seed=3, size=32))
        >>> scene.image.shape, scene.object == CLASS_NAMES[scene.label]
        ((32, 32, 3), True)
    """
    count = _whole("count", count, 1)
    seed = _whole("seed", seed, 0)
    size = _whole("size", size, MINIMUM_SIZE, MAXIMUM_SIZE)
    start = _whole("start", start, 0)
    if split not in SPLITS:
        raise InputError(f"scenes: unknown split {split!r}; {suggest(str(split), SPLITS)}")
    if not isinstance(correlation, (int, float, np.number)) or not 0 <= correlation <= 1:
        raise InputError(
            f"scenes: correlation: expected a number in [0, 1], received {correlation!r}"
        )
    return _scenes(start, start + count, seed, size, split, float(correlation))


def _whole(name: str, value: int, low: int, high: int | None = None) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or number < low or (high is not None and number > high):
        bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise InputError(f"scenes: {name}: expected a whole number {bounds}, received {value!r}")
    return number


def _scenes(
    start: int, stop: int, seed: int, size: int, split: str, correlation: float
) -> Iterator[Scene]:
    group = min(_BLOCK, max(1, _GROUP_PIXELS // size**2))
    for block in range(start // _BLOCK, -(-stop // _BLOCK)):
        rng = np.random.default_rng((seed, SPLITS.index(split), block))
        draws = draw(rng, _BLOCK, correlation if split == "train" else 0.0)
        names = [_names(draws, i) for i in range(_BLOCK)]
        sentences = [captions(rng, *name) for name in names]
        first, last = max(start - block * _BLOCK, 0), min(stop - block * _BLOCK, _BLOCK)
        for begin in range(first // group * group, last, group):
            part = Draws(*(values[begin : begin + group] for values in draws))
            images = render(part, size)
            for i in range(max(begin, first), min(begin + group, last)):
                yield Scene(images[i - begin], sentences[i], int(draws.label[i]), *names[i])


def _names(draws: Draws, i: int) -> tuple[str, str, str, str, str]:
    return (
        CLASS_NAMES[draws.label[i]],
        _COLOUR_NAMES[draws.colour[i]],
        TEXTURES[draws.texture[i]],
        _SIZE_NAMES[draws.scale[i]],
        BACKGROUND_NAMES[draws.background[i]],
    )
