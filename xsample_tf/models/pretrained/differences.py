"""Where two architectures, or an architecture and a file of weights, part."""

import itertools
import pathlib
import re
import tempfile
import warnings
from collections.abc import Iterable

import h5py
import keras
import tensorflow as tf

from xsample_tf.errors import InputError, shorten

# A layer's name, and the shapes of its weights.
Layer = tuple[str, list[tuple[int, ...]]]


def layers_of(model: keras.Layer) -> list[Layer]:
    """Returns the layers of a model that have weights of their own, in order."""
    found: dict[str, list[tuple[int, ...]]] = {}
    for variable in model.variables:
        if tf.as_dtype(variable.dtype).is_floating:  # Else the state of random numbers.
            layer = variable.path.rpartition("/")[0] or variable.path
            found.setdefault(layer, []).append(tuple(variable.shape))
    return list(found.items())


def first_difference(expected: Iterable[Layer], received: Iterable[Layer]) -> str:
    """Returns the first layer whose weights have other shapes, in words; "" where none has."""
    for one, other in itertools.zip_longest(expected, received):
        if one is None or other is None or one[1] != other[1]:
            return f"expected {_words(one)}, received {_words(other)}"
    return ""


def load_weights(model: keras.Model, path: pathlib.Path, source: str) -> None:
    """Loads a file of weights into a model.

    Args:
        model: Gets the weights; built.
        path: A `.weights.h5` file, or an `.h5` one of earlier Keras.
        source: What the user named, to begin a message with.

    Raises:
        InputError: The file is not there, cannot be read, or is of another architecture, whose
            first layer that differs is named.
    """
    if not path.is_file():
        raise InputError(f"{source}: expected a file of weights, received {path}, which is none")
    reason = "it has other weights"
    try:
        with warnings.catch_warnings(), h5py.File(path) as file:
            warnings.filterwarnings("ignore", "Skipping nested container")
            own = _keras_3(file)
            # Keras passes in silence over what a file has beyond the model.
            if own is None or sum(map(len, own.values())) == len(model.variables):
                model.load_weights(path)
                return
    except (KeyError, OSError, TypeError, ValueError) as error:
        if isinstance(error, OSError):
            raise InputError(f"{source}: cannot read {path} ({shorten(error, 120)})") from error
        reason = shorten(error, 120)
    raise InputError(
        f"{source}: {path} is of another architecture than {model.name}: "
        f"{_difference_of_file(model, path) or reason}"
    )


def _difference_of_file(model: keras.Model, path: pathlib.Path) -> str:
    with h5py.File(path) as file:
        received = _keras_3(file)
        if received is None:
            weighted = [layer for layer in model.layers if layer.weights]
            ours = [(one.name, [tuple(v.shape) for v in one.weights]) for one in weighted]
            return first_difference(ours, _legacy(file))
    with tempfile.TemporaryDirectory() as folder:
        model.save_weights(f"{folder}/own.weights.h5")
        with h5py.File(f"{folder}/own.weights.h5") as file:
            expected = _keras_3(file)
    names = _names(model)
    order = list(names)
    for place in sorted(expected, key=lambda one: (_rank(one, order), _natural(one))):
        if expected[place] != received.get(place):
            other = (place, received[place]) if place in received else None
            return first_difference([(_named(place, names), expected[place])], [other])
    extra = min(received.keys() - expected.keys(), key=_natural, default=None)
    return first_difference([], [(extra, received[extra])]) if extra else ""


def _keras_3(file: h5py.File) -> dict[str, list[tuple[int, ...]]] | None:
    """Shapes of the weights by their place in a file; None for a file of earlier Keras."""
    if "layer_names" in file.attrs or "model_weights" in file:
        return None
    found: dict[str, list[tuple[int, ...]]] = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset) and "/vars/" in f"/{name}":
            found.setdefault(f"/{name}".rpartition("/vars/")[0][1:], []).append(tuple(item.shape))

    file.visititems(visit)
    return found


def _legacy(file: h5py.File) -> list[Layer]:
    """The layers with weights in a file of earlier Keras."""
    root = file["model_weights"] if "model_weights" in file else file
    found = []
    for name in (_text(name) for name in root.attrs["layer_names"]):
        group = root[name]
        weights = [_text(weight) for weight in group.attrs["weight_names"]]
        if weights:
            found.append((name, [tuple(group[weight].shape) for weight in weights]))
    return found


def _names(model: keras.Model, place: str = "layers") -> dict[str, str]:
    """The names of a model's layers by their place in a file of Keras 3, in order."""
    found, counts = {}, dict[str, int]()
    for layer in model.layers:
        kind = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)  # As Keras does.
        kind = re.sub("([a-z])([A-Z])", r"\1_\2", kind).lower()
        count = counts[kind] = counts.get(kind, -1) + 1
        own = f"{place}/{kind}_{count}" if count else f"{place}/{kind}"
        found[own] = layer.name
        if isinstance(layer, keras.Model):
            found |= _names(layer, f"{own}/layers")
    return found


def _named(place: str, names: dict[str, str]) -> str:
    """A place in a file with the name of the innermost layer that is known."""
    known = max((one for one in names if f"{place}/".startswith(f"{one}/")), key=len, default="")
    return f"{names[known]}{place[len(known) :]}" if known else place


def _rank(place: str, order: list[str]) -> int:
    fitting = [i for i, one in enumerate(order) if f"{place}/".startswith(f"{one}/")]
    return max(fitting, default=len(order))


def _natural(place: str) -> list[tuple[int, str]]:
    """A key by which conv2d_2 comes before conv2d_10, and conv2d before both."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", place)]


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _words(layer: Layer | None) -> str:
    return "nothing" if layer is None else f"{layer[0]} {' '.join(map(str, layer[1]))}"
