"""What is looked at to choose columns, and columns by their usual names."""

from collections.abc import Sequence
from typing import Protocol

from xsample_tf.data.sources.formats import Row
from xsample_tf.data.sources.interpretation import values


class Sampled(Protocol):
    """What is looked at to choose columns: a table, or the fields of an archive's members."""

    file: str
    columns: Sequence[str]
    sample: list[Row]


NONE = "none"  # What a flag says where a column must not be taken for anything.


def find_named(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Returns the columns that are called one of some names, in the order of these."""
    found = {}
    for name in names:
        try:
            found[values.resolve(name, columns)] = None
        except KeyError:
            continue
    return list(found)
