"""JSON: an object on each line, an array of objects, and the layouts of COCO and of Karpathy."""

import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from xsample_tf.data.sources.formats import text_encoding
from xsample_tf.data.sources.formats.base import SAMPLE_ROWS, Row, TableFile, TableStyle
from xsample_tf.data.sources.formats.cells import LineCell, is_base64_image, looks_like_image
from xsample_tf.errors import InputError, listing

# Words in the names of fields, where an object is a row and not captions by key.
_FIELDS = {"image", "images", "img", "file", "path", "url", "caption", "captions", "text", "texts"}
_FIELDS |= {"label", "class", "id", "key", "title", "name"}
_LONG_CELL = 60  # Letters; a longer one may be an image.


class JsonLines(TableFile):
    """A file with one JSON object on each line.

    Raises:
        InputError: There is no object in the first rows.
    """

    def __init__(self, file: str, style: TableStyle):
        self.file = file
        self._encoding = style.encoding or text_encoding.detect_encoding(file)[0]
        if self._encoding not in ("utf-8", "utf-8-sig"):
            self.notes = (f"encoding {self._encoding}",)
        self.columns = _columns(row for _, row in self.rows(None))
        if not self.columns:
            first, _, _ = next(text_encoding.lines(file, self._encoding), ("nothing", 0, 0))
            raise InputError(
                f"source: expected a JSON object on each line of {file}, received {first[:60]!r}"
            )

    def rows(self, columns: Sequence[str] | None) -> Iterator[tuple[int, Row | None]]:
        """See `TableFile`; None gives all columns, also those that the first rows lack."""
        for number, (line, offset, size) in enumerate(
            text_encoding.lines(self.file, self._encoding), 1
        ):
            if not line.strip():
                continue
            row = _parsed(line)
            if not isinstance(row, dict):
                yield number, None
                continue
            cells = row if columns is None else {name: row.get(name) for name in columns}
            yield number, {name: self._cell(name, v, offset, size) for name, v in cells.items()}

    def cell_at(self, offset: int, size: int, name: str) -> str:
        """Returns the text of a cell of the line at a place in the file."""
        row = _parsed(text_encoding.line_at(self.file, self._encoding, offset, size))
        value = row.get(name) if isinstance(row, dict) else None
        return value if isinstance(value, str) else ""

    def _cell(self, name: str, value: object, offset: int, size: int) -> object:
        if isinstance(value, str) and len(value) > _LONG_CELL and offset >= 0:
            if is_base64_image(value):
                return LineCell(self, offset, size, name)
        return value


class JsonDocument(TableFile):
    """A file that is one JSON value: objects in an array, COCO's captions, or Karpathy's splits.

    It is held in memory.

    Raises:
        InputError: A value of another layout.
    """

    def __init__(self, file: str, value: Any):
        self.file = file
        self._rows, self.notes = _rows_of(file, value)
        self.columns = _columns(iter(self._rows))
        if not self.columns:
            kind = type(self._rows[0]).__name__ if self._rows else "none"
            raise InputError(f"source: expected an array of objects in {file}, received {kind}")

    def rows(self, columns: Sequence[str] | None) -> Iterator[tuple[int, Row | None]]:
        """See `TableFile`; None gives all columns."""
        for number, row in enumerate(self._rows):
            if isinstance(row, dict):
                yield number, row if columns is None else {name: row.get(name) for name in columns}
            else:
                yield number, None


def open_json(file: str, style: TableStyle) -> TableFile:
    """Opens a file of JSON lines, or of one JSON value.

    Raises:
        InputError: It is neither.
    """
    encoding = style.encoding or text_encoding.detect_encoding(file)[0]
    with open(file, encoding=encoding, errors="surrogateescape") as content:
        start = content.read(1 << 16).lstrip()
    line, _, more = start.partition("\n")
    first = _parsed(line)
    if isinstance(first, dict) and (more.strip() or not _is_document(first)):
        return JsonLines(file, style)  # An object that ends with its line.
    if not start.startswith(("{", "[")):
        return JsonLines(file, style)
    try:
        with open(file, encoding=encoding, errors="surrogateescape") as content:
            value = json.load(content)
    except ValueError as error:
        if "Extra data" in str(error) or start.startswith("{"):
            return JsonLines(file, style)
        raise InputError(f"source: {file} is not JSON ({error})") from error
    return JsonDocument(file, value)


def _is_document(value: dict) -> bool:
    """Whether an object holds the rows of a file, and is not a row itself."""
    lists = [item for item in value.values() if isinstance(item, list)]
    if any(item and isinstance(item[0], dict) and len(value) <= 8 for item in lists):
        texts = any(isinstance(item, str) for item in value.values())
        return "images" in value or "annotations" in value or not texts
    return _is_mapping(value) or _rows_of_columns(value) is not None or _are_rows_by_key(value)


def _rows_of_columns(value: dict) -> list[dict] | None:
    """The rows of an object of columns, as `DataFrame.to_dict` writes it; None of another."""
    if not value or not any(_is_column_of_images(name, cells) for name, cells in value.items()):
        return None
    if all(isinstance(cells, list) for cells in value.values()):
        if len({len(cells) for cells in value.values()}) != 1:
            return None
        return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    if all(isinstance(cells, dict) for cells in value.values()):
        keys = dict.fromkeys(key for cells in value.values() for key in cells)
        return [{name: cells.get(key) for name, cells in value.items()} for key in keys]
    return None


def _is_column_of_images(name: str, cells: object) -> bool:
    """Whether a list, or an object by row, has the names of images."""
    cells = list(cells.values()) if isinstance(cells, dict) else cells
    if not isinstance(cells, list) or not cells or not isinstance(cells[0], str):
        return False
    if all(isinstance(c, str) and (looks_like_image(c) or is_base64_image(c)) for c in cells):
        return True
    return len(cells) > 1 and any(word in name.lower() for word in ("image", "file", "path"))


def _are_rows_by_key(value: dict) -> bool:
    """Whether an object has a row, or captions, by the name or number of each image."""
    items = list(value.values())
    if len(items) > 1 and all(isinstance(item, dict) for item in items):
        return bool(set.intersection(*map(set, items)))
    texts = len(items) > 1 and all(isinstance(item, str | list) for item in items)
    words = (re.findall("[a-z]+", name.lower()) for name in value if "/" not in name)
    named = not _FIELDS.isdisjoint(itertools.chain.from_iterable(words))
    return texts and not named and all(_are_texts(item) for item in items)


def _are_texts(item: str | list) -> bool:
    texts = [item] if isinstance(item, str) else item
    return all(isinstance(text, str) and not looks_like_image(text) for text in texts)


def _is_mapping(value: dict) -> bool:
    """Whether an object has captions by the name of the image."""
    return bool(value) and all(
        looks_like_image(key) and isinstance(item, str | list) for key, item in value.items()
    )


def _rows_of(file: str, value: Any) -> tuple[list, tuple[str, ...]]:
    """Returns the rows in a JSON value, and what was taken for what."""
    if isinstance(value, list):
        return value, ("an array of objects",)
    if not isinstance(value, dict):
        raise InputError(f"source: expected objects in {file}, received {str(value)[:60]!r}")
    if _is_mapping(value):
        rows = [{"image": name, "caption": texts} for name, texts in value.items()]
        return rows, ("captions by the name of the image",)
    images, annotations = value.get("images"), value.get("annotations")
    if _are_objects(images) and _are_objects(annotations):
        return _coco(file, images, annotations)
    if _are_objects(images) and any("sentences" in image for image in images):
        return _karpathy(images)
    lists = [name for name, item in value.items() if _are_objects(item)]
    if len(lists) == 1:
        return value[lists[0]], (f"the objects in {lists[0]!r}",)
    rows = _rows_of_columns(value)
    if rows is not None:
        return rows, ("an object of columns",)
    if _are_rows_by_key(value):
        return _by_key(value)
    raise InputError(
        f"source: expected an array of objects, COCO's captions or Karpathy's splits in {file}, "
        f"received an object of {listing(value, repr)}; write each array to a file of its own"
    )


def _by_key(value: dict) -> tuple[list, tuple[str, ...]]:
    """The rows of an object by key, which names the image unless the rows do."""
    if not all(isinstance(item, dict) for item in value.values()):
        rows = [{"image": name, "caption": texts} for name, texts in value.items()]
        return rows, ("captions by the name of the image",)
    fields = [(name, cell) for row in value.values() for name, cell in row.items()]
    if any(_is_column_of_images(name, [cell]) for name, cell in fields):
        return list(value.values()), ("rows by key",)
    rows = [{"image": name} | row for name, row in value.items()]
    return rows, ("rows by the name of the image",)


def _coco(file: str, images: list[dict], annotations: list[dict]) -> tuple[list, tuple[str, ...]]:
    """COCO's captions: images and captions in lists of their own."""
    if not any("caption" in annotation for annotation in annotations):
        raise InputError(
            f"source: expected captions in the annotations of {file}, received "
            f"{listing(annotations[0])}; COCO's captions are in captions_*.json"
        )
    captions: dict[Any, list] = {image["id"]: [] for image in images}
    for annotation in annotations:
        captions.setdefault(annotation.get("image_id"), []).append(annotation.get("caption"))
    rows: list = [
        {"image": image.get("file_name"), "caption": captions.pop(image["id"])} for image in images
    ]
    rows += [None] * sum(map(len, captions.values()))  # Captions of images that are not listed.
    return rows, ("COCO's layout: captions of `annotations` by `image_id`",)


def _karpathy(images: list[dict]) -> tuple[list, tuple[str, ...]]:
    """The splits of Karpathy: sentences of each image, and its split."""
    rows = [
        {
            "image": os.path.join(image.get("filepath", ""), str(image.get("filename", ""))),
            "caption": [sentence.get("raw") for sentence in image.get("sentences", ())],
            "split": image.get("split"),
        }
        for image in images
    ]
    return rows, ("Karpathy's layout: image = filepath/filename, captions = sentences[].raw",)


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _columns(rows: Iterator[Row | None]) -> tuple[str, ...]:
    """The names in the first rows, in the order in which they come."""
    names: dict[str, None] = {}
    for count, row in enumerate(rows):
        if count >= SAMPLE_ROWS:
            break
        names |= dict.fromkeys(row) if isinstance(row, dict) else {}
    return tuple(names)


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None
