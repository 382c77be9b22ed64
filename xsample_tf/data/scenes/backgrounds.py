"""The backgrounds of the generated scenes: a palette and two weights per pixel each.

A background is a function of a `Ground` that returns `u` and `v` in [0, 1], float32 [N, H, W]: the
colour of a pixel is the first palette colour, taken towards the second by `u` and then towards the
third by `v`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Field = np.ndarray


class Ground(NamedTuple):
    """What a background is painted on, for N images.

    Attributes:
        x: Coordinate to the right, float32 [N, H, W]; the image is about two units wide.
        y: Coordinate upwards, float32 [N, H, W].
        pixel: Width of a pixel in these coordinates, float32 [N, 1, 1].
        coarse: Smooth noise in about [-1, 1], float32 [N, H, W].
        fine: Noise of a quarter of its wavelength, alike.
        salt: What makes the cells of two images differ, uint32 [N, 1, 1].
    """

    x: Field
    y: Field
    pixel: Field
    coarse: Field
    fine: Field
    salt: Field


class Background(NamedTuple):
    """A kind of background: three RGB colours in [0, 1] and the function of their weights."""

    palette: tuple[tuple[float, float, float], ...]
    weights: Callable[[Ground], tuple[Field, Field]]


def _ramp(value: Field, start: float, end: float) -> Field:
    """Goes from 0 to 1 while `value` goes from `start` to `end` (which may be the smaller)."""
    scale = np.float32(1 / (end - start))
    return np.clip(value * scale - np.float32(start) * scale, 0, 1)


def _inside(distance: Field, pixel: Field) -> Field:
    """The share of a pixel that is covered, by the signed distance of its centre."""
    return np.clip(np.float32(0.5) - distance / pixel, 0, 1)


def _wave(phase: Field) -> Field:
    return np.float32(0.5) + np.float32(0.5) * np.sin(phase)


def _cell(column: Field, row: Field, salt: Field) -> Field:
    """A number in [0, 1] for each cell of a grid, alike on every machine (whole-number hash)."""
    bits = column.astype(np.int32).view(np.uint32) * np.uint32(0x9E3779B1)
    bits ^= row.astype(np.int32).view(np.uint32) * np.uint32(0x85EBCA77)
    bits = (bits + salt) * np.uint32(0xC2B2AE3D)
    bits = (bits ^ (bits >> np.uint32(15))) * np.uint32(0x27D4EB2F)
    return (bits >> np.uint32(16)).astype(np.float32) * np.float32(1 / 65535)


def _flecks(g: Ground, cells: float, share: float, radius: float) -> Field:
    """Scattered small discs (stars, flakes): a grid with a disc in some of its cells."""
    x, y = g.x * np.float32(cells), g.y * np.float32(cells)
    column, row = np.floor(x), np.floor(y)
    chance = _cell(column, row, g.salt)
    # The same number decides whether there is a disc, where it stands and how large it is.
    within = chance * np.float32(1 / share)
    x = x - column - np.float32(0.3) - np.float32(0.4) * within
    y = y - row - np.float32(0.7) + np.float32(0.4) * within
    distance = np.sqrt(x * x + y * y) - np.float32(radius) * (np.float32(0.6) + within * within)
    return _inside(distance, g.pixel * np.float32(cells)) * (within < 1)


def _sky(g: Ground):
    clouds = _ramp(g.coarse + np.float32(0.45) * g.fine, 0.05, 0.75)
    return _ramp(g.y, 1.0, -1.0), clouds * _ramp(g.y, -1.2, 0.2)


def _sunset(g: Ground):
    sun_y = g.y + np.float32(0.25)
    distance = np.sqrt(g.x * g.x + sun_y * sun_y)
    streaks = np.float32(0.25) * g.coarse * _wave(g.y * np.float32(9) + g.fine)
    glow = np.float32(0.75) * _ramp(distance, 1.3, 0.3)
    return _ramp(g.y + streaks, 1.0, -0.7), np.maximum(glow * glow, _ramp(distance, 0.36, 0.28))


def _night(g: Ground):
    return _ramp(g.y + np.float32(0.5) * g.coarse, 0.9, -1.3), _flecks(g, 4.5, 0.6, 0.1)


def _sea(g: Ground):
    swell = g.y * np.float32(10) + np.float32(1.5) * g.coarse + np.sin(g.x * np.float32(3.5))
    crest = _wave(swell)
    foam = _ramp(crest, 0.8, 1.0) * _ramp(g.fine + g.coarse, 0.0, 0.8)
    return crest, foam


def _sand(g: Ground):
    ripples = _wave((g.y + np.float32(0.22) * g.coarse) * np.float32(13) + g.x * np.float32(2))
    dunes = _ramp(g.coarse, -0.8, 0.8)
    light = np.float32(0.4) * _ramp(g.fine + g.coarse, -0.5, 1.5)
    return ripples * (np.float32(0.45) + np.float32(0.5) * dunes), light


def _grass(g: Ground):
    # Blades: columns of uneven height, one row of them behind another.
    blades = _wave(g.x * np.float32(30) + np.float32(2) * g.fine)
    jagged = g.y * np.float32(2.5) + np.float32(0.9) * blades + np.float32(0.5) * g.coarse
    depth = jagged - np.floor(jagged)
    return depth * depth, blades * _ramp(g.fine, -0.4, 1.0) * np.float32(0.8)


def _snow(g: Ground):
    hill = np.float32(0.16) * np.sin(g.x * np.float32(2.2)) - np.float32(0.15)
    ground = _inside(g.y - hill, g.pixel * np.float32(2))
    shade = np.float32(1) - np.float32(0.45) * _ramp(g.coarse + g.fine, 0.0, 1.2)
    return ground * shade, _flecks(g, 4.0, 0.75, 0.13) * (np.float32(1) - ground)


def _bricks(g: Ground):
    y = g.y * np.float32(4)
    row = np.floor(y)
    x = g.x * np.float32(2) + np.float32(0.5) * (row - 2 * np.floor(row * np.float32(0.5)))
    column = np.floor(x)
    seam_x = np.abs(x - column - np.float32(0.5)) * np.float32(0.5)
    seam_y = np.abs(y - row - np.float32(0.5)) * np.float32(0.25)
    mortar = np.maximum(seam_x - np.float32(0.225), seam_y - np.float32(0.1))
    tone = _cell(column, row, g.salt) * np.float32(0.7) + np.float32(0.25) * g.fine
    mortar = np.float32(1) - _inside(mortar, g.pixel)
    return mortar, np.clip(tone, 0, 1) * (np.float32(1) - mortar)


def _planks(g: Ground):
    x = g.x * np.float32(2.4)
    plank = np.floor(x)
    tone = _cell(plank, np.zeros_like(plank), g.salt)
    gap = (np.abs(x - plank - np.float32(0.5)) - np.float32(0.47)) * np.float32(1 / 2.4)
    grain = _wave(x * np.float32(16) + np.float32(4) * g.coarse + np.float32(9) * tone)
    gap = np.float32(1) - _inside(gap, g.pixel)
    light = np.float32(0.65) * tone + np.float32(0.35) * grain
    return np.maximum(gap, np.float32(0.3) * grain), light * (np.float32(1) - gap)


def _tiles(g: Ground):
    # Along each axis a triangle wave crosses zero at the seams; the product is the parity.
    parity = np.float32(1)
    for axis in (g.x, g.y):
        t = axis * np.float32(1.25)
        t = np.abs(t - np.floor(t) - np.float32(0.5)) - np.float32(0.25)
        parity = parity * np.clip(t * np.float32(1.6) / g.pixel, -1, 1)
    shine = np.float32(0.3) * _ramp(g.coarse, -0.2, 1.0)
    return np.float32(0.5) + np.float32(0.5) * parity, shine


def _mountains(g: Ground):
    far = np.abs(g.x * np.float32(0.9) - np.floor(g.x * np.float32(0.9)) - np.float32(0.5))
    near = np.abs(g.x * np.float32(2.3) - np.floor(g.x * np.float32(2.3)) - np.float32(0.5))
    ridge = np.float32(0.65) - np.float32(1.3) * far - np.float32(0.35) * near
    ridge = ridge + np.float32(0.08) * g.fine
    rock = _inside(g.y - ridge, g.pixel)
    cap = ridge - np.float32(0.3) + np.float32(0.16) * g.fine + np.float32(0.1) * g.coarse
    snow = rock * _ramp(g.y - cap, -0.04, 0.04) * _ramp(g.y, -0.35, -0.05)
    return rock * _ramp(g.fine + g.coarse, -3.0, -0.3), snow


def _curtain(g: Ground):
    folds = g.x * np.float32(8) + np.float32(0.9) * g.coarse + np.float32(0.3) * g.y
    return _wave(folds), _ramp(np.sin(folds + np.float32(0.9)), 0.55, 1.4)


BACKGROUNDS: dict[str, Background] = {
    "sky": Background(((0.2, 0.45, 0.85), (0.65, 0.83, 0.97), (0.97, 0.98, 1.0)), _sky),
    "sunset": Background(((0.36, 0.2, 0.5), (0.97, 0.5, 0.25), (1.0, 0.88, 0.5)), _sunset),
    "night": Background(((0.03, 0.04, 0.14), (0.14, 0.14, 0.36), (1.0, 0.98, 0.85)), _night),
    "sea": Background(((0.04, 0.28, 0.5), (0.12, 0.55, 0.68), (0.92, 0.98, 0.98)), _sea),
    "sand": Background(((0.9, 0.78, 0.54), (0.7, 0.54, 0.32), (0.98, 0.92, 0.74)), _sand),
    "grass": Background(((0.12, 0.36, 0.1), (0.36, 0.62, 0.18), (0.66, 0.82, 0.32)), _grass),
    "snow": Background(((0.5, 0.6, 0.74), (0.95, 0.97, 1.0), (1.0, 1.0, 1.0)), _snow),
    "bricks": Background(((0.6, 0.24, 0.17), (0.8, 0.77, 0.72), (0.82, 0.44, 0.3)), _bricks),
    "planks": Background(((0.5, 0.31, 0.16), (0.2, 0.12, 0.06), (0.78, 0.57, 0.34)), _planks),
    "tiles": Background(((0.17, 0.18, 0.21), (0.88, 0.87, 0.83), (1.0, 1.0, 1.0)), _tiles),
    "mountains": Background(((0.58, 0.76, 0.92), (0.34, 0.33, 0.4), (0.97, 0.98, 1.0)), _mountains),
    "curtain": Background(((0.36, 0.04, 0.14), (0.68, 0.1, 0.22), (0.92, 0.4, 0.46)), _curtain),
}
