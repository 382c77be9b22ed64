"""Arguments that the losses share: checks of them, and what suits the device."""

import math
import numbers

import tensorflow as tf

from xsample_tf.devices import accelerated
from xsample_tf.errors import InputError, suggest
from xsample_tf.losses import cross_replica

IMPLEMENTATIONS = ("auto", "dense", "tiled")

# From so many views in the global batch on, tiles are faster (benchmarks/loss.py).
_MANY_VIEWS = 1024
# Images in a tile: a CPU's caches like it small, except that diagonal tiles do half their work in
# vain; an accelerator (not measured) likes few, large products.
_CPU_TILES, _ACCELERATOR_TILE = (256, 512), 2048


def check_temperature(temperature: float) -> None:
    """Raises `InputError` unless tau is a number above 0."""
    if not (isinstance(temperature, numbers.Real) and 0 < temperature < math.inf):
        raise InputError(f"temperature: expected a number above 0, received {temperature!r}")


def check_implementation(implementation: str, tile_size: int | None) -> None:
    """Raises `InputError` unless the form exists and the tile holds an image."""
    if implementation not in IMPLEMENTATIONS:
        raise InputError(
            f"implementation: received {implementation!r}, "
            f"{suggest(str(implementation), IMPLEMENTATIONS)}"
        )
    if tile_size is not None and (not isinstance(tile_size, int) or tile_size < 1):
        raise InputError(f"tile_size: expected a number of images from 1, received {tile_size!r}")


def check_several(images: int | None) -> None:
    """Raises `InputError` where a replica's images, as far as known, are the only one of all."""
    if images is not None and images * cross_replica.count() < 2:
        raise InputError(
            f"expected a batch of at least 2 images, received {images}: nothing to contrast"
        )


def as_scalar(value: float | tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """A number or a scalar tensor as a tensor."""
    # By way of float32, 0.1 would lose eight digits in float64.
    if isinstance(value, numbers.Real):
        return tf.constant(value, dtype)
    return tf.cast(tf.convert_to_tensor(value), dtype)


def tiles_wanted(implementation: str, embeddings: tf.Tensor) -> bool:
    """Whether tiles compute the loss of embeddings `[B, V, D]`.

    Raises:
        InputError: They are asked for, and the batch's size is not known.
    """
    known = embeddings.shape.is_fully_defined()
    if implementation == "tiled" and not known:
        raise InputError(
            f"implementation: expected a batch of known size for tiles, received "
            f"{embeddings.shape}; batch the dataset with drop_remainder=True"
        )
    if implementation != "auto" or not known:
        return implementation == "tiled"
    batch, views, _ = embeddings.shape
    return cross_replica.count() * batch * views >= _MANY_VIEWS


def tile_size_of(tile_size: int | None, images: int | None) -> int:
    """Images in a tile: what is given, or what suits the device."""
    if tile_size is not None:
        return tile_size
    if accelerated():
        return _ACCELERATOR_TILE
    smallest, largest = _CPU_TILES
    return min(max((images or 0) // 16, smallest), largest)
