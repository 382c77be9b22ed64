"""Columns of numbers that a data directory keeps beside images: ages, scores, multi-hot labels."""

import dataclasses
import decimal
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError

# What records and the stream call their own parts.
RESERVED = (
    "image",
    "key",
    "key_hash",
    "captions",
    "embedding",
    "image_embedding",
    "substituted",
    "index",
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SHOWN = 60  # Characters of a value in a message.


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
        if _is_missing(value):
            if default is None:
                raise InputError(
                    f"feature_columns: expected {self._expected} in {self.name!r} of {key}, "
                    "received nothing; mend it, or give --feature_default for what is missing"
                )
            value = default if self.length is None else [default] * self.length
        found = _numbers(value)
        length = len(found) if isinstance(_plain(value), list) and found else None
        if found is None or length != self.length:
            raise InputError(
                f"feature_columns: expected {self._expected} in {self.name!r} of {key}, received "
                f"{_shown(value)}; mend it"
            )
        if self.dtype == "int64" and any(number != int(number) for number in found):
            raise InputError(
                f"feature_columns: expected whole numbers in {self.name!r}, as in the first rows, "
                f"received {_shown(value)} of {key}; name the column as {self.name}:float"
            )
        limits = np.iinfo(np.int64) if self.dtype == "int64" else np.finfo(np.float32)
        if any(not int(limits.min) <= number <= int(limits.max) for number in found):
            raise InputError(
                f"feature_columns: expected numbers that {self.dtype} can hold in {self.name!r}, "
                f"received {_shown(value)} of {key}"
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

    @property
    def description(self) -> str:
        """Its dtype, and the length of vectors, in words."""
        return self.dtype if self.length is None else f"{self.length} numbers of {self.dtype}"

    @property
    def _expected(self) -> str:
        return "a number" if self.length is None else f"a list of {self.length} numbers"


def names_of(columns: Sequence[str]) -> dict[str, bool]:
    """Returns the names in `--feature_columns`, and whether each asks for floats (`NAME:float`).

    Raises:
        InputError: A name that records use for something else, or one that stands there twice.
    """
    found: dict[str, bool] = {}
    for text in columns:
        name, _, kind = text.partition(":")
        if not name or name in RESERVED or kind not in ("", "float"):
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
        if not values:
            raise InputError(
                f"feature_columns: expected numbers, or lists of numbers, in {name!r} of {where}, "
                "received nothing in the first rows"
            )
        numbers = [_numbers(value) for value in values]
        wrong = next((v for v, n in zip(values, numbers, strict=True) if n is None), None)
        if wrong is not None:
            raise InputError(
                f"feature_columns: expected numbers, or lists of numbers, in {name!r} of {where}, "
                f"received {_shown(wrong)}"
            )
        vectors = [isinstance(_plain(value), list) for value in values]
        lengths = {len(n) if one else None for one, n in zip(vectors, numbers, strict=True)}
        if len(lengths) > 1:
            received = sorted("a number" if n is None else f"{n} numbers" for n in lengths)
            raise InputError(
                f"feature_columns: expected one length of all vectors in {name!r} of {where}, "
                f"received {', '.join(received[:5])}"
            )
        whole = not floats and all(n == int(n) for row in numbers for n in row)
        chosen.append(FeatureColumn(name, "int64" if whole else "float32", lengths.pop()))
    return tuple(chosen)


def check_default(columns: Sequence[FeatureColumn], default: float | None) -> None:
    """Raises `InputError` where a column cannot hold what takes the place of missing numbers."""
    if default is None:
        return
    if not columns:
        raise InputError("feature_default: expected feature_columns with it, received none")
    if not math.isfinite(default):
        raise InputError(f"feature_default: expected a finite number, received {default}")
    whole = next((column.name for column in columns if column.dtype == "int64"), None)
    if whole is not None and default != int(default):
        raise InputError(
            f"feature_default: expected a whole number for {whole!r}, whose numbers are, received "
            f"{default:g}; or name the column as {whole}:float"
        )


def _is_missing(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in ("", "nan")
    return value is None or (isinstance(value, float | np.floating) and math.isnan(value))


def _plain(value: object) -> object:
    """The number or list that a value stands for: a cell of CSV is text, TFDS gives arrays."""
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text):
            return float(text) if re.search(r"[.eE]", text) else int(text)
        try:
            return json.loads(text)
        except ValueError:
            return None
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers.
        return value.tolist()
    return float(value) if isinstance(value, decimal.Decimal) else value


def _numbers(value: object) -> list[float] | None:
    """Returns the finite numbers in a value, None where it is something else."""
    value = _plain(value)
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, bool | int | float) for item in items):
        return None
    return items if all(math.isfinite(item) for item in items) else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
