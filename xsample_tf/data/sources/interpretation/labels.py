"""Reads captions and labels from columns and fields."""

import re

from xsample_tf.data.sources.base import UNKNOWN_CLASS, Classes
from xsample_tf.data.sources.interpretation.values import is_missing

CAPTION_COLUMNS = ("caption", "captions", "text", "sentence", "sentences", "description")


def texts_of(value: object) -> list[str]:
    """Returns the captions of a cell: a text, a list of texts, or nothing."""
    if value is None:
        return []
    if isinstance(value, list):
        return [text for item in value for text in texts_of(item)]
    if isinstance(value, bytes):
        return [value.decode("utf-8", "surrogateescape")]
    return [str(value)]


def whole_number(value: object) -> int | None:
    """Returns a label that is a number: 3, 3.0 (pandas, where some are missing), "3"."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d+(\.0)?\s*", value):
        return int(float(value))
    if isinstance(value, int | float) and value == int(value):
        return int(value)
    return None


def label_of(value: object, classes: Classes | None) -> int | None:
    """Returns the label of a class by its key or number, None of nothing; see `Sample`."""
    if is_missing(value):
        return None
    known = classes.label(str(value)) if classes else UNKNOWN_CLASS
    if known != UNKNOWN_CLASS:
        return known
    number = whole_number(value)
    return UNKNOWN_CLASS if number is None else number
