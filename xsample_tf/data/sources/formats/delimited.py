"""CSV, TSV and other delimited text: the delimiter, the encoding and the header are detected."""

import collections
import csv
import itertools
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

from xsample_tf.data.sources.formats import text_encoding
from xsample_tf.data.sources.formats.base import SAMPLE_ROWS, Row, TableFile, TableStyle
from xsample_tf.data.sources.formats.cells import LineCell, is_base64_image, looks_like_image
from xsample_tf.errors import InputError, listing

_DELIMITERS = (",", "\t", ";", "|")
_NAMES = {"\t": "tab", " ": "space"}
_EXCEL = re.compile(r'"?sep=(.)"?')
_LONGEST_CELL = 1000  # Lines that one quoted cell may have.
_LONG_CELL = 60  # Letters; a longer one may be an image.


class Delimited(TableFile):
    """A file of delimited text.

    A quoted cell may have line breaks. A quote is a plain character where it does not enclose a
    whole cell, so that a stray one does not swallow the rows after it.

    Args:
        file: Its path.
        style: Delimiter, encoding and columns, where they should not be detected.

    Raises:
        InputError: The file cannot be read or is empty, or it has no header line and no names were
            given for its columns.
    """

    def __init__(self, file: str, style: TableStyle):
        self.file = file
        self._encoding, guessed = style.encoding, False
        if not self._encoding:
            self._encoding, guessed = text_encoding.detect_encoding(file)
        start = [
            line
            for line, _, _ in itertools.islice(
                text_encoding.lines(self.file, self._encoding), SAMPLE_ROWS
            )
        ]
        if not any(line.strip() for line in start):
            raise InputError(f"source: expected a header line and rows in {file}, which is empty")
        if len(start) == 1 and "\r" in start[0]:
            raise InputError(
                f"source: expected lines that end in \\n in {file}, received \\r alone; convert "
                "it: ",
                f"tr '\\r' '\\n' < {file}",
            )
        named = _EXCEL.fullmatch(start[0])  # A line that only tells the delimiter.
        self._lines_before = 1 if named else 0
        start = start[self._lines_before :]
        self._delimiter = style.delimiter or (named[1] if named else _find_delimiter(start, file))
        self._escape = _has_escapes(start)
        self._tabs = self._delimiter == "\t"
        self._spaced = f"{self._delimiter} " in next(line for line in start if line.strip())
        self._count = 0  # Of columns; 0 while they are not known.
        first = next((cells for _, cells, _, _ in self._parsed() if cells), [])
        self._has_header = not _is_data(first) and tuple(first) != style.columns
        self.columns = self._choose_columns(first, style.columns)
        self._has_header |= tuple(first) == self.columns
        self._count = len(self.columns)
        self.notes = tuple(self._describe(guessed))

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, Row | None]]:
        """See `TableFile`."""
        positions = {name: self.columns.index(name) for name in columns}
        parsed = self._parsed()
        if self._has_header:
            next((cells for _, cells, _, _ in parsed if cells), None)
        for number, cells, offset, size in parsed:
            if cells and len(cells) > self._count and not any(cells[self._count :]):
                cells = cells[: self._count]  # Delimiters behind the last cell.
            if cells is None or len(cells) != self._count:
                yield number, None
            else:
                place = (offset, size)
                yield (
                    number,
                    {name: self._cell(cells[i], i, place) for name, i in positions.items()},
                )

    def cell_at(self, offset: int, size: int, position: int) -> str:
        """Returns the text of a cell, of the line or lines at a place in the file."""
        text = text_encoding.line_at(self.file, self._encoding, offset, size)
        cells = self._split(text)
        return cells[position] if cells and len(cells) > position else ""

    def _cell(self, text: str, position: int, place: tuple[int, int]) -> object:
        """The text, or where it stands in the file if it is an image in base64."""
        if len(text) > _LONG_CELL and place[0] >= 0 and is_base64_image(text):
            return LineCell(self, *place, position)
        return text

    def _choose_columns(self, first: list[str], given: tuple[str, ...]) -> tuple[str, ...]:
        if given:
            if len(given) != len(first):
                raise InputError(
                    f"columns: expected names for the {len(first)} cells of a row of {self.file}, "
                    f"received {listing(given)}"
                )
            return given
        if self._has_header:
            return _unique(name.strip() for name in first)
        if any(cell.startswith(("http://", "https://")) for cell in first):
            return tuple(f"column_{index}" for index in range(len(first)))  # Refused, with a hint.
        images = [_is_image_name(cell) for cell in first]
        if len(first) == 2 and sum(images) == 1:
            return ("image", "caption") if images[0] else ("caption", "image")
        raise InputError(
            f"columns: {self.file} has no header line (its first row is "
            f"{listing(first[:4], repr)}); name its {len(first)} columns, "
            "such as --columns=image,caption"
        )

    def _describe(self, guessed: bool) -> Iterator[str]:
        if guessed:
            yield f"encoding {self._encoding} (detected; --encoding sets another)"
        elif self._encoding not in ("utf-8", "utf-8-sig"):
            yield f"encoding {self._encoding}"
        usual = {".csv": ",", ".tsv": "\t"}.get(pathlib.Path(self.file).suffix.lower())
        if self._delimiter != usual:
            name = _NAMES.get(self._delimiter, repr(self._delimiter))
            yield f"cells are separated by {name} (--delimiter sets another)"
        if self._escape:
            yield r"quotes within cells are written \""
        if not self._has_header:
            yield f"no header line: columns are {listing(self.columns)} (--columns sets others)"

    def _parsed(self) -> Iterator[tuple[int, list[str] | None, int, int]]:
        """Yields line number, cells, and place of each row; blank lines are passed over."""
        lines = enumerate(text_encoding.lines(self.file, self._encoding), 1)
        lines = itertools.islice(lines, self._lines_before, None)
        pending: collections.deque = collections.deque()
        while True:
            found = pending.popleft() if pending else next(lines, None)
            if found is None:
                return
            number, (line, offset, size) = found
            if not line.strip():
                continue
            cells = self._split(line)
            if cells is not None:
                yield number, cells, offset, size
                continue
            # A quote is open: the cell may go on in the next lines.
            taken, joined = [], line
            while cells is None and len(taken) < _LONGEST_CELL:
                following = pending.popleft() if pending else next(lines, None)
                if following is None:
                    break
                taken.append(following)
                if self._tabs and self._is_row(following[1][0]):
                    break
                joined += "\n" + following[1][0]
                cells = self._split(joined)
            if cells is not None and self._count in (0, len(cells)):
                sizes = [size, *(one[1][2] for one in taken)]
                yield number, cells, offset, sum(sizes) if offset >= 0 else -1
                continue
            pending.extendleft(reversed(taken))
            # In TSV a stray quote is plain text; in CSV it would be part of a caption unnoticed.
            yield number, self._plain(line) if self._tabs else None, offset, size

    def _is_row(self, line: str) -> bool:
        return self._count > 1 and len(line.split(self._delimiter)) == self._count

    def _plain(self, line: str) -> list[str]:
        """The cells of a line whose quotes are plain characters."""
        cells = line.split(self._delimiter)
        return [cell.strip(" ") for cell in cells] if self._spaced else cells

    def _split(self, text: str) -> list[str] | None:
        """Returns the cells of a line, None while a quote is open."""
        if '"' not in text:
            return self._plain(text)
        try:
            escapes = {"escapechar": "\\", "doublequote": False} if self._escape else {}
            reader = csv.reader(
                [text],
                delimiter=self._delimiter,
                strict=True,
                skipinitialspace=self._spaced,
                **escapes,
            )
            return next(reader)
        except csv.Error as error:
            if "end of data" in str(error):
                return None
        # Quotes that enclose a part of a cell only, as in: "Hello" said the dog.
        return self._plain(text)


def _find_delimiter(lines: list[str], file: str) -> str:
    """Returns the delimiter that gives most lines the same number of cells, two at least."""
    usual = "\t" if file.lower().endswith((".tsv", ".tab", ".txt")) else ","
    best = (0.0, 0.0, "")
    for delimiter in _DELIMITERS:
        cells = [line.count(delimiter) + 1 for line in lines if line.strip()]
        header = cells[0]
        if header < 2:
            continue
        # Cells may hold a comma within quotes, so that more cells than the header has speak less
        # against it than fewer.
        equal = sum(count == header for count in cells) / len(cells)
        enough = sum(count >= header for count in cells) / len(cells)
        best = max(best, (enough, equal + (0.1 if delimiter == usual else 0.0), delimiter))
    first, *others = lines[0].split(None, 1)[:2] or [""]
    if not best[2] and others and _is_image_name(first):
        raise InputError(
            f"delimiter: expected cells separated by {listing(map(repr, _DELIMITERS))} in {file}, "
            "received spaces; give --delimiter=' '"
        )
    return best[2] or usual


def _has_escapes(lines: list[str]) -> bool:
    r"""Whether quotes within quoted cells are written \" and not ""."""
    escaped = sum('\\"' in line for line in lines)
    return escaped > 0 and not any('\\""' in line for line in lines)


def _is_data(cells: list[str]) -> bool:
    """Whether the first line is a row and not a header: it names an image, or holds a link."""
    return any(
        _is_image_name(cell) or cell.startswith(("http://", "https://")) or is_base64_image(cell)
        for cell in cells
    )


def _is_image_name(cell: str) -> bool:
    return looks_like_image(cell.partition("#")[0]) and os.path.splitext(cell)[0] != ""


def _unique(names: Iterator[str]) -> tuple[str, ...]:
    """Returns the names, with a number after each that stood there before."""
    seen: collections.Counter = collections.Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name}.{seen[name] - 1}")
    return tuple(result)
