"""The objects of the generated scenes, as signed-distance fields.

A shape is a function of object coordinates: `x` to the right and `y` upwards, float32 [N, H, W], in
which the object fills about [-1, 1] x [-1, 1]. It returns two fields alike: the distance to the
outline of the object and to the outline of its details (a door, an eye; None where it has none),
negative inside. Distances are exact along edges and bounds elsewhere, which is all that
anti-aliasing needs.
"""

from collections.abc import Callable

import numpy as np

Field = np.ndarray
Shape = Callable[[Field, Field], tuple[Field, Field | None]]


def _disc(x: Field, y: Field, radius: float) -> Field:
    return np.sqrt(x * x + y * y) - np.float32(radius)


def _box(x: Field, y: Field, half_width: float, half_height: float) -> Field:
    return np.maximum(np.abs(x) - np.float32(half_width), np.abs(y) - np.float32(half_height))


def _below(x: Field, y: Field, start: tuple[float, float], end: tuple[float, float]) -> Field:
    """Distance to the line from `start` to `end`, negative on its right-hand side."""
    along = np.subtract(end, start)
    along = along / np.linalg.norm(along)
    offset = along[0] * start[1] - along[1] * start[0]
    return np.float32(-along[1]) * x + np.float32(along[0]) * y - np.float32(offset)


def _polygon(x: Field, y: Field, *corners: tuple[float, float]) -> Field:
    """A convex polygon, corners clockwise (with y upwards)."""
    edges = zip(corners, corners[1:] + corners[:1], strict=True)
    first, *rest = (_below(x, y, start, end) for start, end in edges)
    for edge in rest:
        np.maximum(first, edge, out=first)
    return first


def _star(x, y):
    # Two reflections fold the plane into one tenth, in which the outline is a single line.
    x = np.abs(x)
    cosine, sine = np.float32(np.cos(np.pi / 5)), np.float32(np.sin(np.pi / 5))
    for side in (cosine, -cosine):
        over = 2 * np.maximum(side * x - sine * y, 0)
        x, y = x - side * over, y + sine * over
    notch = 0.48
    return _below(np.abs(x), y, (0, 1.05), (notch * sine, notch * cosine)), None


def _heart(x, y):
    x = np.abs(x)
    wedge = _polygon(x, y, (-0.1, 0.4), (0.5, 0.4), (0.905, 0.05), (0, -0.95), (-0.1, -0.95))
    return np.minimum(_disc(x - np.float32(0.45), y - np.float32(0.3), 0.52), wedge), None


def _ring(x, y):
    return np.abs(_disc(x, y, 0.7)) - np.float32(0.25), None


def _moon(x, y):
    bite = _disc(x - np.float32(0.5), y - np.float32(0.12), 0.78)
    return np.maximum(_disc(x, y, 0.98), -bite), None


def _cross(x, y):
    return np.minimum(_box(x, y, 0.92, 0.3), _box(x, y, 0.3, 0.92)), None


def _house(x, y):
    walls = _box(x, y + np.float32(0.42), 0.7, 0.5)
    roof = _polygon(x, y, (-1, 0.08), (0, 0.98), (1, 0.08))
    chimney = _box(x - np.float32(0.52), y - np.float32(0.55), 0.13, 0.33)
    door = _box(x + np.float32(0.26), y + np.float32(0.6), 0.17, 0.32)
    window = _box(x - np.float32(0.32), y + np.float32(0.38), 0.19, 0.19)
    return np.minimum(np.minimum(walls, roof), chimney), np.minimum(door, window)


def _tree(x, y):
    trunk = _box(x, y + np.float32(0.8), 0.13, 0.22)
    crown = _polygon(x, y, (-0.78, -0.62), (0, 0.3), (0.78, -0.62))
    crown = np.minimum(crown, _polygon(x, y, (-0.62, -0.12), (0, 0.68), (0.62, -0.12)))
    crown = np.minimum(crown, _polygon(x, y, (-0.46, 0.36), (0, 1.0), (0.46, 0.36)))
    return np.minimum(crown, trunk), np.maximum(trunk, -crown)


def _fish(x, y):
    body_x = x - np.float32(0.22)
    body = _disc(body_x, np.abs(y) + np.float32(0.45), 0.93)
    tail = _polygon(x, np.abs(y), (-1.0, 0.62), (-0.42, 0.0), (-0.42, -0.1), (-1.0, -0.1))
    tail = np.maximum(tail, -_polygon(x, np.abs(y), (-1.2, 0.45), (-0.8, 0.0), (-1.2, -0.45)))
    fin = _polygon(x, y, (-0.05, 0.7), (0.45, 0.42), (-0.05, 0.3))
    eye = _disc(x - np.float32(0.62), y - np.float32(0.1), 0.11)
    gill = np.maximum(
        np.abs(_disc(x - np.float32(0.75), y, 0.45)) - np.float32(0.045), x - np.float32(0.45)
    )
    gill = np.maximum(gill, np.abs(y) - np.float32(0.28))
    return np.minimum(np.minimum(body, tail), fin), np.minimum(eye, gill)


def _arrow(x, y):
    shaft = _box(x + np.float32(0.35), y, 0.65, 0.2)
    head = _polygon(x, np.abs(y), (0.12, 0.68), (1.0, 0.0), (1.0, -0.1), (0.12, -0.1))
    return np.minimum(shaft, head), None


def _mug(x, y):
    body = _box(x + np.float32(0.22), y, 0.56, 0.78) - np.float32(0.02)
    handle = np.abs(_disc(x - np.float32(0.42), y, 0.4)) - np.float32(0.11)
    handle = np.maximum(handle, np.float32(0.3) - x)
    rim = _box(x + np.float32(0.22), y - np.float32(0.66), 0.46, 0.05)
    return np.minimum(body, handle), rim


def _umbrella(x, y):
    canopy = _disc(x, y + np.float32(0.05), 0.98)
    canopy = np.maximum(canopy, np.float32(-0.08) - y)
    scallop_x = np.abs(np.abs(x) - np.float32(0.49)) - np.float32(0.245)
    canopy = np.maximum(canopy, -_disc(scallop_x, y + np.float32(0.2), 0.26))
    shaft = _box(x, y + np.float32(0.3), 0.06, 0.45)
    hook = np.abs(_disc(x - np.float32(0.18), y + np.float32(0.75), 0.18)) - np.float32(0.06)
    hook = np.minimum(shaft, np.maximum(hook, y + np.float32(0.75)))
    return np.minimum(canopy, hook), np.maximum(hook, -canopy)


def _boat(x, y):
    hull = _polygon(x, y, (-1.0, -0.42), (1.0, -0.42), (0.62, -0.92), (-0.62, -0.92))
    mast = _box(x, y - np.float32(0.25), 0.05, 0.7)
    main = _polygon(x, y, (0.12, -0.25), (0.12, 0.95), (0.88, -0.25))
    jib = _polygon(x, y, (-0.66, -0.25), (-0.12, 0.7), (-0.12, -0.25))
    sails = np.minimum(main, jib)
    return np.minimum(np.minimum(hull, mast), sails), hull


SHAPES: dict[str, Shape] = {
    "star": _star,
    "heart": _heart,
    "ring": _ring,
    "moon": _moon,
    "cross": _cross,
    "house": _house,
    "tree": _tree,
    "fish": _fish,
    "arrow": _arrow,
    "mug": _mug,
    "umbrella": _umbrella,
    "boat": _boat,
}
