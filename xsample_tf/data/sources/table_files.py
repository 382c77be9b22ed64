"""Rows of CSV, TSV, JSONL and Parquet files, with image bytes of Parquet left where they are."""

import collections
import csv
import dataclasses
import json
import pathlib
import threading
from collections.abc import Iterator

import pyarrow
import pyarrow.parquet

from xsample_tf.data import image_files
from xsample_tf.errors import InputError

Row = dict[str, object]


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """Where an image's bytes stand in a Parquet file, and the path that may stand with them."""

    file: str
    column: str
    group: int
    row: int
    path: str | None


class Delimited:
    """A CSV or TSV file with a header line.

    In TSV a quote is a plain character unless quotes enclose the whole cell: captions of TSV data
    sets have stray quotes, which as CSV would swallow the rows after them.
    """

    def __init__(self, file: str):
        self._file = file
        tabs = file.lower().endswith(".tsv")
        self._style = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"strict": True}
        self._unquote = _unquoted if tabs else str
        self.columns = [self._unquote(name) for name in next(self._lines(), [])]

    def rows(self, wanted: list[str]) -> Iterator[Row | None]:
        """Yields the wanted cells of each row, None for a row with too few or too many cells."""
        positions = {name: self.columns.index(name) for name in wanted}
        lines = self._lines()
        next(lines)
        for cells in lines:
            if len(cells) == len(self.columns):
                yield {name: self._unquote(cells[i]) for name, i in positions.items()}
            elif cells:
                yield None

    def _lines(self) -> Iterator[list[str]]:
        csv.field_size_limit(1 << 30)  # A caption may be longer than Python's 128 KiB.
        with open(self._file, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.reader(file, **self._style)
            try:
                yield from reader
            except csv.Error as error:
                raise InputError(
                    f"source: {self._file}, line {reader.line_num}: {error}"
                ) from error


class JsonLines:
    """A file with one JSON object per line; the first names the columns."""

    def __init__(self, file: str):
        self._file = file
        first = next(self._objects(), None)
        if not isinstance(first, dict):
            raise InputError(f"source: expected a JSON object on each line of {file}")
        self.columns = list(first)

    def rows(self, wanted: list[str]) -> Iterator[Row | None]:
        """Yields the wanted values of each row, None for a line that is no JSON object."""
        for row in self._objects():
            yield {name: row.get(name) for name in wanted} if isinstance(row, dict) else None

    def _objects(self) -> Iterator[object]:
        with open(self._file, encoding="utf-8-sig", errors="surrogateescape") as file:
            for line in file:
                if line.strip():
                    try:
                        yield json.loads(line)
                    except ValueError:
                        yield None


class Parquet:
    """A Parquet file; a binary or {bytes, path} image cell is left there as a `Cell`."""

    def __init__(self, file: str):
        self._name = file
        try:
            self._file = pyarrow.parquet.ParquetFile(file)
        except (OSError, pyarrow.ArrowException) as error:
            raise InputError(f"source: cannot read {file} as Parquet ({error})") from error
        self.columns = self._file.schema_arrow.names

    def rows(self, wanted: list[str]) -> Iterator[Row]:
        """Yields the wanted values of each row; the first of `wanted` is the image."""
        image, *others = wanted
        kind = self._file.schema_arrow.field(image).type
        stored = pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)
        if pyarrow.types.is_struct(kind):
            stored, others = True, [*others, f"{image}.path"]
        columns = others if stored else wanted
        for group in range(self._file.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            try:
                rows = self._file.read_row_group(group, columns).to_pylist() or [{}] * count
            except (OSError, pyarrow.ArrowException) as error:
                raise InputError(
                    f"source: cannot read row group {group} of {self._name} ({error})"
                ) from error
            for index, row in enumerate(rows):
                if stored:
                    path = (row.get(image) or {}).get("path")
                    row = row | {image: Cell(self._name, image, group, index, path)}
                yield row

    def class_names(self, column: str) -> list[str] | None:
        """Returns the names of a Hugging Face ClassLabel column, which its metadata carry."""
        metadata = (self._file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
        try:
            return json.loads(metadata)["info"]["features"][column]["names"]
        except (KeyError, TypeError, ValueError):
            return None


class ImageCells:
    """Reads `Cell`s from any thread, keeping the row groups used last."""

    _KEPT = 2  # One being left, one being entered.

    def __init__(self):
        self._lock = threading.Lock()
        self._columns: collections.OrderedDict = collections.OrderedDict()

    def __reduce__(self) -> tuple:
        return ImageCells, ()  # Another process reads its own.

    def read(self, cell: Cell) -> bytes | None:
        """Returns the bytes, or None where there are none; an `images.ImageError` otherwise."""
        place = (cell.file, cell.column, cell.group)
        with self._lock:
            if place not in self._columns:
                try:
                    file = pyarrow.parquet.ParquetFile(cell.file)
                    self._columns[place] = file.read_row_group(cell.group, [cell.column]).column(0)
                except (OSError, pyarrow.ArrowException) as error:
                    raise image_files.ImageError("unreadable_file") from error
                while len(self._columns) > self._KEPT:
                    self._columns.popitem(last=False)
            column = self._columns[place]
        value = column[cell.row].as_py()
        return value["bytes"] if isinstance(value, dict) else value


def open_file(file: str) -> Delimited | JsonLines | Parquet:
    """Opens a table by its extension; an `InputError` when it is unknown."""
    extension = pathlib.Path(file).suffix.lower()
    if extension not in FORMATS:
        raise InputError(f"source: expected {', '.join(FORMATS)}, received {file}")
    try:
        return FORMATS[extension](file)
    except OSError as error:
        raise InputError(f"source: cannot read {file} ({error})") from error


FORMATS = {
    ".csv": Delimited,
    ".tsv": Delimited,
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".parquet": Parquet,
}


def _unquoted(cell: str) -> str:
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell
