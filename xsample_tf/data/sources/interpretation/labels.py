"""Reads labels from columns and fields."""

import math
import re

from xsample_tf.data.sources.base import UNKNOWN_CLASS, Classes
from xsample_tf.data.sources.interpretation.values import is_missing


def whole_number(value: object) -> int | None:
    """Returns a label that is a number: 3, 3.0 (pandas, where some are missing), "3"."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d+(\.0)?\s*", value):
        return int(float(value))
    if isinstance(value, int | float) and value == int(value):
        return int(value)
    return None


def label_of(value: object, classes: Classes | None) -> int | None:
    """Returns the label of a class by its key or number, None of nothing; see `Sample`."""
    if is_missing_label(value):
        return None
    known = classes.label(class_key(value)) if classes else UNKNOWN_CLASS
    if known != UNKNOWN_CLASS:
        return known
    number = whole_number(value)
    return UNKNOWN_CLASS if number is None else number


def class_key(value: object) -> str:
    """Returns what a class is called: its text without outer spaces."""
    return str(value).strip()


def is_missing_label(value: object) -> bool:
    """Whether a label stands for nothing; a number that was missing may be written as "nan"."""
    return is_missing(value) or (isinstance(value, str) and value.strip().lower() == "nan")


def is_fraction(value: object) -> bool:
    """Whether a value is a number that cannot be a class: 0.37, "1e-3"."""
    try:
        return whole_number(value) is None and math.isfinite(float(value))
    except (TypeError, ValueError):
        return False
