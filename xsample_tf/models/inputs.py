"""The door of the training step: what a Keras user brings, in one form, or refused in a line.

`select` looks at structure on the host and hands on only what the step needs, so that strings and
other extras never reach XLA. `weight_of`, `side_of` and the others bring values to one form within
the step, in every mode of execution; views are a matter of `pixels`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.graphs import LabelGraph
from xsample_tf.losses.base import needed_features, quoted, reader_of, takes_several

# Keys under which arrays pass Keras's adapter, which knows one target with one weight each.
_ARRAYS = ("views of fit", "side information of fit", "weights of fit")
_EXTRAS = "substituted"


def joined(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """Returns `x, y, sample_weight` for Keras's adapters, which refuse one weight for several y.

    Raises:
        InputError: Weights as a dict, or arrays of several lengths.
    """
    if isinstance(sample_weight, Mapping | list | tuple):
        raise InputError(
            f"sample_weight: expected an array [B] or [B, 1], received "
            f"{type(sample_weight).__name__}; one weight counts for the whole image"
        )
    given = {"x": x, "y": y, "sample_weight": sample_weight}
    given = {name: part for name, part in given.items() if part is not None}
    arrays = tf.nest.flatten(given)
    if len(given) < 2 or not all(hasattr(leaf, "shape") for leaf in arrays):
        return x, y, sample_weight
    if len({array.shape[0] for array in arrays if len(array.shape)}) > 1:
        raise InputError(
            "expected arrays with one row for each image, received "
            + ", ".join(f"{name} {shapes(part)}" for name, part in given.items())
        )
    if sample_weight is None or not isinstance(y, Mapping):
        return x, y, sample_weight
    return dict(zip(_ARRAYS, (x, y, sample_weight), strict=True)), None, None


def select(data: Any, loss: Any, more: Iterable[str] = ()) -> tuple[Any, dict[str, Any], Any]:
    """Returns views, side information and weight (or None) of a batch, and nothing else of it.

    Args:
        data: What a dataset yields: `(views, side)`, `(views, side, sample_weight)` or views.
        loss: Decides what of a dict of side information is kept.
        more: Names that are kept beside it, where they are there.

    Raises:
        InputError: Side information that the loss needs is missing, or weights are several.
    """
    views, side, weight = keras.utils.unpack_x_y_sample_weight(_without_optionals(data))
    if isinstance(views, dict) and _ARRAYS[0] in views:
        views, side, weight = (views[name] for name in _ARRAYS)
    if isinstance(weight, Mapping | list | tuple):
        raise InputError(
            f"sample_weight: expected [B] or [B, 1], received {shapes(weight)}; one weight counts "
            "for the whole image"
        )
    names = needed_features(loss)
    if not isinstance(side, Mapping):
        side = {} if side is None else {_lone(side, names, loss): side}
    missing = tuple(name for name in names if name not in side)
    if missing:
        raise InputError(
            f"{reader_of(loss)}: expected {quoted(missing)} in the dataset, received "
            f"{', '.join(sorted(map(str, side))) or 'nothing'}; prepare the data with it or use "
            "another graph"
        )
    wanted = {*names, _EXTRAS, *more}
    return views, {key: side[key] for key in sorted(wanted) if key in side}, weight


def _lone(side: Any, names: tuple[str, ...], loss: Any) -> str:
    """What side information is that came without a name."""
    if isinstance(side, list | tuple):
        raise InputError(
            f"{reader_of(loss)}: expected {quoted(names or ('index',))}, or a dict with it, "
            f"received a {type(side).__name__} of {len(side)}: {shapes(side)}"
        )
    if len(names) > 1:
        raise InputError(
            f"{reader_of(loss)}: expected a dict with {quoted(names)}, received {shapes(side)}"
        )
    # A graph of indices needs nothing, so that a lone y can only be labels, for metrics.
    return names[0] if names else "label"


def check_ends(data: Any, steps: int | None, name: str) -> None:
    """Raises `InputError` for a dataset that repeats without end and without a number of steps."""
    if steps is None and isinstance(data, tf.data.Dataset):
        if int(data.cardinality()) == tf.data.INFINITE_CARDINALITY:
            raise InputError(
                f"{name}: expected a number of steps for a dataset that repeats without end, "
                f"received None; give {name}, or leave out repeat()"
            )


def _without_optionals(data: Any) -> Any:
    """Keras's adapters of generators hand on an empty optional for None."""
    kind = tf.experimental.Optional
    if not any(isinstance(leaf, kind) for leaf in tf.nest.flatten(data)):
        return data
    return tf.nest.map_structure(lambda x: None if isinstance(x, kind) else x, data)


def check_rows(views: Any, side: Mapping[str, Any], weight: Any) -> int | None:
    """Returns B, as far as it is known.

    Raises:
        InputError: Something has another number of rows than there are images.
    """
    parts = tf.nest.flatten(views)
    named = [("views", part) for part in parts] + list(side.items())
    named += [] if weight is None else [("sample_weight", weight)]
    images = _rows(parts[0]) if parts else None
    for name, value in named:
        if len(value.shape) == 0 or _rows(value) not in (images, None):
            raise InputError(
                f"{name}: expected one row for each of {images} images, received {shapes(value)}"
            )
    return images


def _rows(value: Any) -> int | None:
    return value.shape[0] if len(value.shape) else None


def weight_of(weight: Any, dtype: tf.DType) -> tf.Tensor | None:
    """Brings weights `[B]` or `[B, 1]` of numbers or booleans to `[B]`.

    Raises:
        InputError: Weights of another shape or dtype.
    """
    if weight is None:
        return None
    weight = tf.convert_to_tensor(weight)
    flat = weight.shape.rank == 2 and weight.shape[1] == 1
    if weight.dtype == tf.string or not (weight.shape.rank == 1 or flat):
        raise InputError(
            f"sample_weight: expected numbers [B] or [B, 1], one for each image, received "
            f"{weight.dtype.name} {tuple(weight.shape)}"
        )
    return tf.cast(weight[:, 0] if flat else weight, dtype)


def side_of(side: Mapping[str, Any], loss: Any) -> tf.Tensor | dict[str, tf.Tensor] | None:
    """What the loss needs of the selected side information, as its `rows` takes it.

    A caption vector that is not finite becomes zero: an image without a caption, see `captionless`.

    Returns:
        A tensor; a dict of them for a loss that names its features in a tuple; None for one that
        needs the index alone.

    Raises:
        InputError: Strings, or ragged or sparse values.
    """
    names = needed_features(loss)
    found = {name: as_numbers(side[name], name, reader_of(loss)) for name in names}
    missing = captionless(side, loss)
    if missing is not None:
        vectors = found["embedding"]
        found["embedding"] = tf.where(missing[:, tf.newaxis], tf.zeros_like(vectors), vectors)
    if takes_several(loss):
        return found
    return found[names[0]] if names else None


def captionless(side: Mapping[str, Any], loss: Any) -> tf.Tensor | None:
    """Whose caption vector is not finite, bool `[B]`; None where that cannot be."""
    if "embedding" not in needed_features(loss):
        return None
    return not_finite(as_numbers(side["embedding"], "embedding", reader_of(loss)))


def not_finite(vectors: tf.Tensor) -> tf.Tensor | None:
    """Which of some vectors `[B, T]` are not finite, bool `[B]`; None where none can be."""
    if not vectors.dtype.is_floating or vectors.shape.rank != 2:
        return None
    return ~tf.reduce_all(tf.math.is_finite(vectors), axis=1)


def as_numbers(value: Any, name: str, reader: str) -> tf.Tensor:
    """A dense tensor of numbers.

    Raises:
        InputError: Strings, or ragged or sparse values.
    """
    if isinstance(value, tf.RaggedTensor | tf.SparseTensor):
        raise InputError(
            f"{reader}: expected {name!r} as a dense tensor, received a {type(value).__name__}"
        )
    value = tf.convert_to_tensor(value)
    check_numbers(value, name, reader)
    return value


def array_of(value: Any, name: str, reader: str) -> Any:
    """Side information as Keras's adapters take it: a column of pandas as its array.

    Raises:
        InputError: Strings, or anything else but numbers.
    """
    value = value.to_numpy() if hasattr(value, "to_numpy") else value
    check_numbers(value, name, reader)
    return value


def check_numbers(value: Any, name: str, reader: str) -> None:
    """Raises `InputError` for a tensor or an array of strings."""
    dtype = getattr(value, "dtype", None)
    try:
        numbers = dtype is None or tf.as_dtype(dtype) != tf.string
    except TypeError:  # As datetime64.
        numbers = False
    if not numbers:
        kind = "strings" if dtype == tf.string or dtype.kind in "OSU" else str(dtype)
        raise InputError(
            f"{reader}: expected {name!r} as numbers, received {kind} {tuple(value.shape)}; "
            + (
                "number the classes, as keras.layers.StringLookup does"
                if name == "label"
                else "encode them first, as data.prepare does with captions"
            )
        )


def check_class_weight(class_weight: Any) -> dict[int, float] | None:
    """Returns Keras's `class_weight` as whole numbers and floats, or None.

    Raises:
        InputError: Anything but a dict of classes and finite weights.
    """
    if class_weight is None:
        return None
    try:
        found = {int(label): float(weight) for label, weight in class_weight.items()}
    except (AttributeError, TypeError, ValueError):
        found = {}
    if not found or min(found) < 0 or not np.isfinite(list(found.values())).all():
        raise InputError(
            f"class_weight: expected a dict of class numbers and finite weights, received "
            f"{class_weight!r}"
        )
    return found


def class_weights_of(
    side: Mapping[str, Any], loss: Any, class_weight: dict[int, float], dtype: tf.DType
) -> tf.Tensor:
    """The weight `[B]` of each image's class; 1 for a class without one.

    Raises:
        InputError: The batch has no labels.
    """
    if "label" not in side:
        raise InputError(
            "class_weight: expected 'label' in the dataset, received "
            f"{', '.join(sorted(side)) or 'nothing'}; give sample_weight instead"
        )
    label = as_numbers(side["label"], "label", "class_weight")
    graph = getattr(loss, "graph", None) or getattr(loss, "labels", None)
    numbers = (graph if isinstance(graph, LabelGraph) else LabelGraph()).prepare(label)
    table = np.ones(max(class_weight) + 2)
    for number, weight in class_weight.items():
        table[number] = weight
    # The last entry is 1: for classes beyond the table, and for labels that are not valid.
    places = tf.where(numbers < 0, len(table) - 1, tf.minimum(numbers, len(table) - 1))
    return tf.gather(tf.constant(table, dtype), places)


def shapes(value: Any) -> str:
    """Shapes of a tensor, or of all in a structure, for a message."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {shapes(value[key])}" for key in value) + "}"
    if isinstance(value, list | tuple):
        return "(" + ", ".join(map(shapes, value)) + ")"
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else str(tuple(shape))
