"""Columns of numbers that a data directory keeps beside images: ages, scores, multi-hot labels."""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf

from xsample_tf.errors import InputError

# What records and the stream call their own parts.
RESERVED = ("image", "key", "captions", "embedding", "substituted", "index")


@dataclasses.dataclass(frozen=True)
class FeatureColumn:
    """A number, or a vector of numbers of one length, for each image.

    Attributes:
        name: Its name in the records, and in what `data.load` gives.
        dtype: "int64" or "float32".
        length: Numbers in the vector; None for a single number.
    """

    name: str
    dtype: str
    length: int | None = None

    def numbers(self, value: object, default: float | None, key: str) -> list[int] | list[float]:
        """Returns the numbers to store for an image.

        Args:
            value: What the source has: a number, a list of numbers, or their text.
            default: Takes the place of a missing value; None makes that an error.
            key: Name of the image, for messages.

        Raises:
            InputError: A value that is missing, is not a number, or has another length.
        """
        found = _numbers(value)
        if found is None and default is not None:
            found = [default] * (self.length or 1)
        expected = "a number" if self.length is None else f"{self.length} numbers"
        if found is None or len(found) != (self.length or 1):
            received = "nothing" if found is None and _is_missing(value) else repr(value)[:60]
            raise InputError(
                f"feature_columns: expected {expected} in {self.name!r} of {key}, received "
                f"{received}; mend it, or give --feature_default for what is missing"
            )
        if self.dtype == "int64" and any(number != int(number) for number in found):
            raise InputError(
                f"feature_columns: expected whole numbers in {self.name!r}, as in the first rows, "
                f"received {value!r} of {key}; name the column as {self.name}:float"
            )
        return [int(n) if self.dtype == "int64" else float(n) for n in found]

    @property
    def stored_name(self) -> str:
        """What records call it."""
        return f"feature/{self.name}"

    def parser(self) -> tf.io.FixedLenFeature:
        """Returns how the column is parsed from a `tf.train.Example`."""
        shape = [] if self.length is None else [self.length]
        return tf.io.FixedLenFeature(shape, tf.as_dtype(self.dtype))


def names_of(columns: Sequence[str]) -> dict[str, bool]:
    """Returns the names in `--feature_columns`, and whether each asks for floats (`NAME:float`).

    Raises:
        InputError: A name that records use for something else, or one that stands there twice.
    """
    found: dict[str, bool] = {}
    for text in columns:
        name, _, kind = text.partition(":")
        if name in RESERVED or kind not in ("", "float"):
            raise InputError(
                f"feature_columns: expected names other than {', '.join(RESERVED)}, each as NAME "
                f"or NAME:float, received {text!r}; rename the column"
            )
        if name in found:
            raise InputError(f"feature_columns: {name!r} stands there twice")
        found[name] = bool(kind)
    return found


def choose_columns(
    columns: Sequence[str], sample: Mapping[str, Iterable[object]], where: str
) -> tuple[FeatureColumn, ...]:
    """Decides dtype and length of each column on the first values.

    Args:
        columns: As `--feature_columns` has them.
        sample: The first values of each column, missing ones as well.
        where: The source, for messages.

    Raises:
        InputError: A column without numbers, or with vectors of several lengths.
    """
    chosen = []
    for name, floats in names_of(columns).items():
        values = [value for value in sample[name] if not _is_missing(value)]
        numbers = [_numbers(value) for value in values]
        wrong = next((v for v, n in zip(values, numbers, strict=True) if n is None), None)
        if wrong is not None or not values:
            received = "nothing in the first rows" if not values else repr(wrong)[:60]
            raise InputError(
                f"feature_columns: expected numbers, or lists of numbers, in {name!r} of {where}, "
                f"received {received}"
            )
        single = [not _is_vector(value) for value in values]
        lengths = {None if one else len(n) for one, n in zip(single, numbers, strict=True)}
        if len(lengths) > 1:
            raise InputError(
                f"feature_columns: expected one length of all vectors in {name!r} of {where}, "
                f"received {', '.join(sorted(map(str, lengths))[:5])}"
            )
        whole = not floats and all(n == int(n) for row in numbers for n in row)
        chosen.append(FeatureColumn(name, "int64" if whole else "float32", lengths.pop()))
    return tuple(chosen)


def _is_missing(value: object) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_vector(value: object) -> bool:
    return isinstance(_value(value), list)


def _value(value: object) -> object:
    """The value that a text stands for, as cells of CSV are."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers.
        value = value.tolist()
    return value


def _numbers(value: object) -> list[float] | None:
    """Returns the finite numbers in a value, None where it is something else."""
    value = _value(value)
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, bool | int | float) for item in items):
        return None
    return items if all(math.isfinite(item) for item in items) else None
