"""The random choices of the generated scenes: what they show, where and in what light."""

from typing import NamedTuple

import numpy as np

from xsample_tf.data.scenes.backgrounds import BACKGROUNDS
from xsample_tf.data.scenes.shapes import SHAPES

COLOURS = {
    "red": (0.85, 0.12, 0.12),
    "orange": (0.96, 0.52, 0.08),
    "yellow": (0.97, 0.86, 0.15),
    "green": (0.15, 0.62, 0.22),
    "blue": (0.13, 0.3, 0.85),
    "purple": (0.52, 0.18, 0.7),
    "pink": (0.97, 0.5, 0.7),
    "white": (0.96, 0.96, 0.95),
}
TEXTURES = ("plain", "striped", "spotted", "checkered")
# Half the object's extent before stretching, in units of half the image's side.
SIZES = {"small": (0.5, 0.56), "medium": (0.59, 0.66), "large": (0.69, 0.77)}

_COARSE_CELLS, _FINE_CELLS = 4, 16
# Number of places in the table of noise at which an image's noise may begin.
GRAINS = 1 << 16


class Draws(NamedTuple):
    """The random choices of N scenes, arrays that lead with N; none depends on the image's size.

    Attributes:
        label: Index into `SHAPES`; the next four are indices into the tables of their names.
        colour: Of `COLOURS`.
        texture: Of `TEXTURES`.
        scale: Of `SIZES`.
        background: Of `BACKGROUNDS`.
        object_map: [N, 2, 3], image coordinates in [-1, 1] (y upwards) to the object's.
        texture_map: [N, 2, 3], object coordinates to its texture's, of period 1.
        ground_map: [N, 2, 3], image coordinates to the background's.
        palette: [N, 3, 3], the background's three colours.
        paint: [N, 3, 3], the colours of the object, of its texture and of its details.
        light: [N, 3], slope to the right, slope upwards, darkening towards the corners.
        shadow: [N, 3], offset to the right, offset upwards, strength.
        outline: [N, 2], width in object coordinates, strength.
        noise: [N], standard deviation of the sensor's noise.
        grain: [N, 3], where in the table of noise each channel's begins.
        coarse: [N, L, L], knots of the smooth noise.
        fine: [N, M, M], knots of the finer noise.
        salt: [N], uint32, tells the cells of two backgrounds apart.
    """

    label: np.ndarray
    colour: np.ndarray
    texture: np.ndarray
    scale: np.ndarray
    background: np.ndarray
    object_map: np.ndarray
    texture_map: np.ndarray
    ground_map: np.ndarray
    palette: np.ndarray
    paint: np.ndarray
    light: np.ndarray
    shadow: np.ndarray
    outline: np.ndarray
    noise: np.ndarray
    grain: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    salt: np.ndarray


def draw(rng: np.random.Generator, n: int, correlation: float) -> Draws:
    """Draws what `n` scenes show; see `scenes.generate` for `correlation`."""

    def uniform(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, n)

    label = rng.integers(len(SHAPES), size=n)
    colour = rng.integers(len(COLOURS), size=n)
    scale = rng.integers(len(SIZES), size=n)
    tied = rng.random(n) < correlation
    background = np.where(tied, label % len(BACKGROUNDS), rng.integers(len(BACKGROUNDS), size=n))
    bounds = np.array(list(SIZES.values()))[scale]
    half = bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) * rng.random(n)
    room = 0.85 * (1 - half)  # only a tip may leave the image
    light_angle = uniform(0.15 * np.pi, 0.85 * np.pi)
    light = np.stack([np.cos(light_angle), np.sin(light_angle)], -1)
    palette = np.array([kind.palette for kind in BACKGROUNDS.values()])[background]
    # Less contrast behind than in the object, as where a lens is focused on it.
    palette += 0.3 * (palette.mean(1, keepdims=True) - palette)
    palette = palette * uniform(0.75, 1.15)[:, None, None] + rng.normal(0, 0.05, palette.shape)
    offset = np.stack([uniform(-0.5, 0.5), uniform(-0.3, 0.3)], -1)
    return Draws(
        label=label,
        colour=colour,
        texture=rng.integers(len(TEXTURES), size=n),
        scale=scale,
        background=background,
        object_map=_maps(
            angle=uniform(-0.3, 0.3),
            scale=half[:, None] * np.exp(rng.normal(0, 0.08, (n, 2))) * _signs(rng, n),
            centre=np.stack([room * uniform(-1, 1), room * uniform(-1, 1)], -1),
        ),
        texture_map=_maps(uniform(-np.pi, np.pi), uniform(0.38, 0.55)[:, None], offset),
        ground_map=_maps(uniform(-0.15, 0.15), np.exp(uniform(-0.3, 0.35))[:, None], offset),
        palette=palette.astype(np.float32),
        paint=_paints(rng, colour),
        light=_f32(light * uniform(0, 0.3)[:, None], uniform(0, 0.25)[:, None]),
        shadow=_f32(-light * uniform(0.06, 0.16)[:, None], uniform(0.25, 0.6)[:, None]),
        outline=_f32(uniform(0.06, 0.1)[:, None], uniform(0.5, 0.85)[:, None]),
        noise=uniform(0.0, 0.05).astype(np.float32),
        grain=rng.integers(GRAINS, size=(n, 3)),
        coarse=rng.standard_normal((n, *[_COARSE_CELLS + 3] * 2), dtype=np.float32),
        fine=rng.standard_normal((n, *[_FINE_CELLS + 3] * 2), dtype=np.float32),
        salt=rng.integers(1 << 32, size=n, dtype=np.uint32),
    )


def _signs(rng: np.random.Generator, n: int) -> np.ndarray:
    """Mirrors half of the scenes from left to right."""
    return np.stack([rng.choice([-1.0, 1.0], n), np.ones(n)], -1)


def _f32(*columns: np.ndarray) -> np.ndarray:
    return np.concatenate(columns, -1).astype(np.float32)


def _maps(angle: np.ndarray, scale: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """[N, 2, 3] maps into coordinates whose origin lies at `centre`, turned by `angle`, scaled."""
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], -2)
    turn = turn / np.broadcast_to(scale, (len(angle), 2))[:, :, None]
    return _f32(turn, -turn @ centre[:, :, None])


def _paints(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Shades of one colour for the object, its texture and its details: none tells the label."""
    n = len(colour)
    base = np.array(list(COLOURS.values()))[colour] * rng.uniform(0.85, 1.08, (n, 1))
    base = base + rng.normal(0, 0.03, (n, 3))
    lighter = base @ (0.3, 0.6, 0.1) < rng.uniform(0.3, 0.65, n)
    toward = np.where(lighter, 1.0, 0.12)[:, None]
    texture = base + rng.uniform(0.3, 0.45, (n, 1)) * (toward - base)
    detail = base + rng.uniform(0.5, 0.8, (n, 1)) * (rng.choice([0.08, 1.0], (n, 1)) - base)
    return np.stack([base, texture, detail], 1).astype(np.float32)
