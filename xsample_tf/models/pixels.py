"""Views in one form: `[B, V, H, W, 3]` of floats in the range that the encoder takes."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.models.inputs import shapes

BYTES = (0.0, 255.0)
# A `Rescaling` by less than this is of pixels up to 255: 1/255, 1/128 and 1/127.5 are used.
_DIVIDES = 1 / 64
# How far views may leave their range before they are taken for another one: resampling overshoots.
_TOLERANCE = 0.1
# Images whose finished views are looked at before the first step.
_LOOKED_AT = 2


def views_of(
    views: Any,
    dtype: tf.DType,
    input_range: tuple[float, float] | None,
    image_shape: tuple[int | None, ...] = (None, None, None),
) -> tf.Tensor:
    """Brings views to one form: `[B, V, H, W, 3]` of a floating dtype.

    Args:
        views: `[B, V, H, W, 3]`, or a tuple or dict of V tensors `[B, H, W, 3]`, those of a dict in
            the order of their names; floating or uint8.
        dtype: Of the result.
        input_range: What uint8 is scaled to; None leaves its values, 0 to 255.
        image_shape: `(H, W, C)` that the encoder takes, None where any.

    Raises:
        InputError: Views of another structure, shape or dtype.
    """
    parts = [tf.convert_to_tensor(part) for part in tf.nest.flatten(views)]
    for part in parts:
        if not part.dtype.is_floating and part.dtype != tf.uint8:
            raise InputError(
                f"views: expected floating or uint8 pixels, received {part.dtype.name} "
                f"{tuple(part.shape)}"
            )
    parts = [_floating(part, dtype, input_range) for part in parts]
    if len(parts) > 1 and all(part.shape.rank == 4 for part in parts):
        if any(not part.shape.is_compatible_with(parts[0].shape) for part in parts):
            raise InputError(f"views: expected V views of one shape, received {shapes(views)}")
        parts = [tf.stack(parts, axis=1)]
    if len(parts) != 1 or parts[0].shape.rank != 5:
        raise _structure_error(views)
    result = parts[0]
    if not result.shape[2:].is_compatible_with(image_shape) or _channels_first(result.shape):
        sides = ", ".join(
            name if size is None else str(size)
            for name, size in zip("HWC", image_shape, strict=True)
        )
        raise InputError(
            f"views: expected images [{sides}], as the encoder takes them, in [B, V, H, W, C], "
            f"received {tuple(result.shape)}"
            + ("; transpose channels to the end" if _channels_first(result.shape) else "")
        )
    return result


def check_structure(views: Any, in_parts: bool) -> None:
    """Raises `InputError` for views that are not dense, or a tensor of another rank.

    Args:
        views: As a dataset yields them.
        in_parts: Whether they may be a tuple of what views are made of.
    """
    parts = tf.nest.flatten(views)
    for part in parts:
        if isinstance(part, tf.RaggedTensor | tf.SparseTensor):
            raise InputError(
                f"views: expected dense tensors, received a {type(part).__name__} "
                f"{tuple(part.shape)}; bring images to one size, and batch as many views of each"
            )
    if not (in_parts and isinstance(views, list | tuple)) and len(parts) == 1:
        shape = parts[0].shape
        if getattr(shape, "rank", 0) is not None and len(shape) != 5:
            raise _structure_error(views)


def _structure_error(views: Any) -> InputError:
    return InputError(
        "expected views [B, V, H, W, 3], or a tuple or dict of V views [B, H, W, 3], received "
        f"{shapes(views)}; batch the dataset, and stack views by tf.stack(list_of_views, axis=1) "
        "or give them in a tuple of their own, as ((first, second), side)"
    )


def _channels_first(shape: tf.TensorShape) -> bool:
    """Whether the sides of images `[B, V, H, W, C]` seem to stand where the channels should."""
    return shape[2] in (1, 3) and shape[3] not in (1, 3) and shape[4] not in (1, 3, None)


def _floating(
    pixels: tf.Tensor, dtype: tf.DType, input_range: tuple[float, float] | None
) -> tf.Tensor:
    values = tf.cast(pixels, dtype)
    if pixels.dtype != tf.uint8 or input_range is None:
        return values
    low, high = input_range
    values = values / 255
    return values if (low, high) == (0, 1) else low + (high - low) * values


def check_range(
    views: Any,
    finish: Callable[..., tf.Tensor] | None,
    input_range: tuple[float, float] | None,
) -> None:
    """Raises `InputError` where views, or those finished of their parts, leave their range."""
    if input_range is None:
        return
    if finish is not None and isinstance(views, list | tuple):
        views = finish(*(part[:_LOOKED_AT] for part in views))
    low, high = input_range
    slack = _TOLERANCE * (high - low)
    for part in map(tf.convert_to_tensor, tf.nest.flatten(views)):
        if not part.dtype.is_floating:
            continue
        values = tf.where(tf.math.is_finite(part), part, tf.cast(low, part.dtype))
        least, most = float(tf.reduce_min(values)), float(tf.reduce_max(values))
        if least < low - slack or most > high + slack:
            raise InputError(
                f"views: expected floats in [{low:g}, {high:g}], received values from {least:.4g} "
                f"to {most:.4g}; scale them, as by keras.layers.Rescaling(1/255), or say "
                "XSampleModel(..., input_range=None) for an encoder of a range of its own"
            )


def check_input_range(input_range: Any) -> tuple[float, float] | None:
    """Returns the range as two floats, or None; `InputError` for anything else."""
    if input_range is None:
        return None
    try:
        low, high = (float(value) for value in input_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError(
            f"input_range: expected (lowest, highest) or None, received {input_range!r}"
        )
    return low, high


def own_range(model: keras.Layer) -> tuple[float, float]:
    """Returns the range of pixels that a Keras model takes, by the first layer that scales them.

    (0, 255) where that divides by so much, as in many of `keras.applications`, else (0, 1).
    """
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Rescaling):
            return BYTES if np.max(np.abs(layer.scale)) < _DIVIDES else (0.0, 1.0)
        if isinstance(layer, keras.layers.Normalization):
            return BYTES if np.max(np.abs(layer.mean)) > 1 else (0.0, 1.0)
    return 0.0, 1.0
