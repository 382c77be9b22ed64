"""What all files of tables have in common."""

import abc
import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

from xsample_tf.errors import InputError
from xsample_tf.registry import Option

SAMPLE_ROWS = 1000  # What a file contains is decided on its first rows, never on a whole pass.

ENCODING = Option("encoding", "", "Encoding of text, such as cp1252; else found.")

Row = dict[str, object]


@dataclasses.dataclass(frozen=True)
class TableStyle:
    """How to read a delimited file; what is empty is detected on the first rows.

    Attributes:
        delimiter: What separates cells: "," or ";" or "|"; a tab is "tab" or the character.
        encoding: Name of the encoding as Python has it, such as "cp1252".
        columns: Names of the columns of a file without a header line.
    """

    delimiter: str = ""
    encoding: str = ""
    columns: tuple[str, ...] = ()

    def __post_init__(self):
        names = {"tab": "\t", r"\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
        delimiter = names.get(self.delimiter, self.delimiter)
        if len(delimiter.strip(" ") or delimiter) > 1:
            raise InputError(
                f"delimiter: expected one character, or 'tab', received {self.delimiter!r}"
            )
        object.__setattr__(self, "delimiter", delimiter.strip(" ") or delimiter)
        check_encoding(self.encoding)


def check_encoding(name: str) -> None:
    """Raises `InputError` where Python knows no encoding of that name; "" is none."""
    try:
        "".encode(name or "utf-8")
    except LookupError:
        raise InputError(
            "encoding: expected a name that Python knows, such as utf-8, utf-16 or cp1252, "
            f"received {name!r}"
        ) from None


class TableFile(abc.ABC):
    """A file whose rows are read in order, as often as wanted.

    Attributes:
        file: Its path.
        columns: Names of the columns in the first `SAMPLE_ROWS` rows, in their order.
        notes: What was detected and may be wrong, a line each: "encoding cp1252".
    """

    file: str
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @abc.abstractmethod
    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, Row | None]]:
        """Yields the number of each row and its cells in `columns`.

        The number is the line for text, and counts rows from 0 for Parquet. The cells are None for
        what is not a row. A cell is a string, a number, a list, a dict, None, or a reference to
        image bytes that stay in the file, with a method `read`.
        """

    @functools.cached_property
    def sample(self) -> list[Row]:
        """The first `SAMPLE_ROWS` rows, all columns."""
        rows = itertools.islice(self.rows(self.columns), SAMPLE_ROWS)
        return [row for _, row in rows if row is not None]

    def class_names(self, column: str) -> list[str] | None:
        """Returns the class names that the file has for a column of numbers; None without any."""
        del column
        return None
