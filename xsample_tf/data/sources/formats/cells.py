"""References to images that stay in the files of a table until they are read."""

import base64
import binascii
import collections
import dataclasses
import re
import threading
from typing import Any

import pyarrow
import pyarrow.parquet

from xsample_tf.data import image_files

_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".jfif")
_IMAGE_ENDINGS += (".heic", ".heif", ".avif")
# What JPEG, PNG, GIF, WebP, BMP and TIFF files begin with.
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")


@dataclasses.dataclass(frozen=True, slots=True)
class LineCell:
    """An image in base64 in a line of a text file.

    Attributes:
        table: The file; `table.cell_at` reads the cell.
        offset: Where its line begins, in bytes.
        size: How long the line is, in bytes.
        position: Which cell of the line it is.
    """

    table: Any
    offset: int
    size: int
    position: Any

    def read(self) -> bytes:
        """Returns the image's bytes; `image_files.ImageError` says why there are none."""
        try:
            text = self.table.cell_at(self.offset, self.size, self.position)
        except OSError as error:
            raise image_files.ImageError("unreadable_file") from error
        return from_base64(text)


@dataclasses.dataclass(frozen=True, slots=True)
class ParquetCell:
    """An image in a Parquet file.

    Attributes:
        file: The file.
        column: Its column.
        group: Row group.
        row: Row in the group.
        index: Which image of a list.
        path: The path that stands in the cell beside bytes, or in their place; None without one.
    """

    file: str
    column: str
    group: int
    row: int
    index: int
    path: str | None


class ParquetImages:
    """Reads `ParquetCell`s from any thread, keeping the row groups used last."""

    _KEPT = 2  # One being left, one being entered.

    def __init__(self):
        self._lock = threading.Lock()
        self._columns: collections.OrderedDict = collections.OrderedDict()

    def __reduce__(self) -> tuple:
        return ParquetImages, ()  # Another process reads its own.

    def read(self, cell: ParquetCell) -> bytes | None:
        """Returns the bytes, or None where there are none.

        Raises:
            image_files.ImageError: The file cannot be read, or the cell holds something else.
        """
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
        return image_bytes(column[cell.row].as_py(), cell.index)


def image_bytes(value: object, index: int = 0) -> bytes | None:
    """Returns the bytes of an image cell: bytes, base64, a struct with bytes, or a list of these.

    Args:
        value: What the cell holds.
        index: Which of several images.

    Returns:
        The bytes; None where the cell has none.

    Raises:
        image_files.ImageError: "no_image_at_index" or "not_an_image".
    """
    if isinstance(value, dict):
        found = [v for v in value.values() if isinstance(v, bytes | bytearray | list)]
        value = found[0] if found else None
    if isinstance(value, list) and value and isinstance(value[0], int):
        try:
            value = bytes(value)
        except ValueError as error:
            raise image_files.ImageError("not_an_image") from error
    if isinstance(value, list):
        if not value:
            return None
        if not -len(value) <= index < len(value):
            raise image_files.ImageError("no_image_at_index")
        return image_bytes(value[index])
    if isinstance(value, str):
        return from_base64(value)
    return value if value is None else bytes(value)


def from_base64(text: str) -> bytes:
    """Returns the bytes of an image in base64, also of a "data:" URL."""
    text = text.partition("base64,")[2] or text
    try:
        return base64.b64decode(text.translate({45: 43, 95: 47}) + "==", validate=False)
    except (binascii.Error, ValueError) as error:
        raise image_files.ImageError("not_an_image") from error


def is_base64_image(text: str) -> bool:
    """Whether a text is an image file in base64, judged by its beginning."""
    start = (text.partition("base64,")[2] if text.startswith("data:image/") else text)[:400]
    if len(start) < 40 or not _BASE64.fullmatch(start):
        return False
    return from_base64(start[: len(start) // 4 * 4]).startswith(_MAGIC)


def looks_like_image(text: str) -> bool:
    """Whether a text ends like the name of an image file."""
    return text.strip().lower().endswith(_IMAGE_ENDINGS)
