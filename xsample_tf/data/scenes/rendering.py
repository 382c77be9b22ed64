"""From choices to pixels: batches of scenes composed of backgrounds and shapes."""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from xsample_tf.data.scenes.backgrounds import BACKGROUNDS, Ground
from xsample_tf.data.scenes.choices import GRAINS, TEXTURES, Draws
from xsample_tf.data.scenes.shapes import SHAPES

_SHAPES = tuple(SHAPES.values())
_BACKGROUNDS = tuple(BACKGROUNDS.values())


def render(draws: Draws, size: int) -> np.ndarray:
    """Renders scenes.

    Args:
        draws: What N scenes show.
        size: Side of the images in pixels.

    Returns:
        RGB, uint8 [N, size, size, 3].
    """
    x = (np.arange(size, dtype=np.float32)[None, None] + np.float32(0.5)) * np.float32(2 / size) - 1
    y = -x.swapaxes(1, 2)
    outside, detail, texture, pixel = _objects(draws, x, y)
    image = _grounds(draws, x, y)

    dark = np.clip(np.float32(0.7) - _shift(outside, draws.shadow[:, :2]) * np.float32(2.5), 0, 1)
    image *= (1 - _column(draws.shadow[:, 2]) * dark)[:, None]

    body = _mix(draws.paint[:, 0], draws.paint[:, 1], texture)
    body += detail[:, None] * (draws.paint[:, 2, :, None, None] - body)
    edge = np.clip((outside + _column(draws.outline[:, 0])) / pixel + np.float32(0.5), 0, 1)
    body *= (1 - _column(draws.outline[:, 1]) * edge)[:, None]
    body -= image
    body *= np.clip(np.float32(0.5) - outside / pixel, 0, 1)[:, None]
    image += body

    corner = _column(draws.light[:, 2]) * np.float32(0.5)
    across = 1 + _column(draws.light[:, 0]) * x - corner * x * x
    image *= (across + (_column(draws.light[:, 1]) * y - corner * y * y))[:, None]
    noise = _noise(draws.grain, size)
    noise *= _column(draws.noise)[:, None]
    image += noise
    image *= 255
    np.clip(image, 0, 255, out=image)
    pixels = np.empty((len(image), size, size, 3), np.uint8)
    for channel in range(3):
        pixels[..., channel] = image[:, channel]
    return pixels


def _column(values: np.ndarray) -> np.ndarray:
    return values[:, None, None]


def _mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """[N, 3, H, W] from the [N, 3] colour `first` to `second` by `weight` [N, H, W]."""
    mixed = weight[:, None] * (second - first)[:, :, None, None]
    mixed += first[:, :, None, None]
    return mixed


def _apply(maps: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    (a, b, c), (d, e, f) = maps.transpose(1, 2, 0)[..., None, None]
    return a * x + (b * y + c), d * x + (e * y + f)


def _kinds(indices: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each value that occurs and where, so that like is computed with like."""
    for kind in np.unique(indices):
        yield kind, np.flatnonzero(indices == kind)


def _objects(draws: Draws, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Distance to the object, cover by details, weight of texture [N, H, W]; pixel [N, 1, 1]."""
    n, size = len(draws.label), x.shape[-1]
    object_x, object_y = _apply(draws.object_map, x, y)
    pixel = _pixel(draws.object_map, size)
    outside = np.empty((n, size, size), np.float32)
    detail = np.zeros_like(outside)
    for kind, at in _kinds(draws.label):
        outside[at], inner = _SHAPES[kind](object_x[at], object_y[at])
        if inner is not None:
            detail[at] = np.clip(np.float32(0.5) - inner / pixel[at], 0, 1)
    texture = np.zeros_like(outside)
    texture_pixel = pixel * _pixel(draws.texture_map, 2)
    for kind, at in _kinds(draws.texture):
        if TEXTURES[kind] != "plain":
            u, v = _apply(draws.texture_map[at], object_x[at], object_y[at])
            texture[at] = _texture(TEXTURES[kind], u, v, texture_pixel[at])
    return outside, detail, texture, pixel


def _pixel(maps: np.ndarray, size: int) -> np.ndarray:
    """Width of a pixel of an image of `size` after the map, the geometric mean of both axes."""
    area = np.abs(np.linalg.det(maps[:, :, :2]))
    return _column(np.sqrt(area).astype(np.float32) * np.float32(2 / size))


def _texture(kind: str, u: np.ndarray, v: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """Weight of the second colour, in texture coordinates of period 1."""
    u = np.abs(u - np.floor(u) - np.float32(0.5)) - np.float32(0.25)
    if kind == "striped":
        return np.clip(np.float32(0.5) + u / pixel, 0, 1)
    v = np.abs(v - np.floor(v) - np.float32(0.5)) - np.float32(0.25)
    if kind == "checkered":
        u, v = np.clip(u * (2 / pixel), -1, 1), np.clip(v * (2 / pixel), -1, 1)
        return np.float32(0.5) + np.float32(0.5) * u * v
    u, v = u + np.float32(0.25), v + np.float32(0.25)
    return np.clip(np.float32(0.5) + (np.float32(0.3) - np.sqrt(u * u + v * v)) / pixel, 0, 1)


def _grounds(draws: Draws, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The backgrounds, float32 [N, 3, H, W]."""
    n, size = len(draws.label), x.shape[-1]
    pixel = _pixel(draws.ground_map, size)
    coarse, fine = _smooth(draws.coarse, size), _smooth(draws.fine, size)
    image = np.empty((n, 3, size, size), np.float32)
    for kind, at in _kinds(draws.background):
        salt = _column(draws.salt[at])
        ground = Ground(*_apply(draws.ground_map[at], x, y), pixel[at], coarse[at], fine[at], salt)
        u, v = _BACKGROUNDS[kind].weights(ground)
        first, second, third = draws.palette[at].swapaxes(0, 1)
        colours = _mix(first, second, u)
        colours += v[:, None] * (third[:, :, None, None] - colours)
        image[at] = colours
    return image


def _smooth(knots: np.ndarray, size: int) -> np.ndarray:
    """Smooth noise [N, size, size]: the uniform cubic B-spline surface of the knots."""
    weights = _spline(size, knots.shape[-1])
    return weights @ knots @ weights.T


@functools.lru_cache(maxsize=16)
def _spline(size: int, knots: int) -> np.ndarray:
    """Weights [size, knots] of the cubic B-spline at the pixels, scaled to unit noise at a knot."""
    position = (np.arange(size) + 0.5) / size * (knots - 3)
    cell = np.floor(position).astype(int)
    t = position - cell
    pieces = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    weights = np.zeros((size, knots), np.float32)
    for shift, piece in enumerate(pieces):
        # 18 is the sum of the squares of 1, 4, 1: what the smoothing takes from the deviation.
        weights[np.arange(size), cell + shift] = piece / np.sqrt(18)
    return weights


def _shift(field: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Moves each field [N, S, S] by its offset in image coordinates, to the nearest pixel."""
    n, size = field.shape[:2]
    moves = np.rint(offset * (size / 2)).astype(int)
    margin = np.abs(moves).max()
    padded = np.pad(field, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    windows = sliding_window_view(padded, (size, size), axis=(1, 2))
    return windows[np.arange(n), margin + moves[:, 1], margin - moves[:, 0]]


def _noise(grain: np.ndarray, size: int) -> np.ndarray:
    """Noise of unit deviation [N, 3, size, size]; from a table, ten times as fast as drawing it."""
    windows = sliding_window_view(_noise_table(size), size * size)
    return windows[grain].reshape(*grain.shape, size, size)


@functools.lru_cache(maxsize=4)
def _noise_table(size: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(GRAINS - 1 + size * size, dtype=np.float32)
