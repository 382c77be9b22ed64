"""Tables of images and captions as a source: rows to samples, labels to classes."""

import collections
import dataclasses
import functools
import glob
import hashlib
import itertools
import os
import pathlib
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from xsample_tf.data import image_files
from xsample_tf.data.feature_columns import choose_columns
from xsample_tf.data.sources.base import (
    Classes,
    Options,
    Sample,
    Source,
    clean_key,
    fingerprint_of,
    permuted,
    read_file,
    register,
)
from xsample_tf.data.sources.formats import (
    FORMATS,
    SAMPLE_ROWS,
    Row,
    TableFile,
    TableStyle,
    cells,
    open_file,
)
from xsample_tf.data.sources.interpretation import splits, values
from xsample_tf.data.sources.interpretation.image_places import ImagePlaces
from xsample_tf.data.sources.interpretation.labels import label_of, whole_number
from xsample_tf.data.sources.interpretation.roles import Roles, choose_roles, roles_of_numbers
from xsample_tf.data.sources.links import refuse_links
from xsample_tf.errors import InputError, suggest
from xsample_tf.registry import Option

_OPTIONS = (
    Option("delimiter", "", "What separates the cells of a text table: ';', '|', tab; else found."),
    Option("encoding", "", "Encoding of a text table, such as cp1252; else found."),
    Option("columns", "", "Names for the columns of a table without a header line, a,b,c."),
    Option("image_index", 0, "Which image of a list of images; -1 is the last."),
)
_Image = str | cells.LineCell | cells.ParquetCell


@dataclasses.dataclass
class _Record:
    image: _Image
    captions: list[str]
    label: object
    split: str
    place: str  # Of its first row, for messages.
    numbers: dict[str, object]


@register("table", options=_OPTIONS)
class Table(Source):
    """CSV and other text, JSON, JSON lines or Parquet files: table:FILE, a pattern or a folder.

    Rows of one image are one sample with several captions: of one path, of one key, or with the
    same bytes where these stand in the table. So are list-valued cells and several caption columns.

    Args:
        where: A file (.csv, .tsv, .txt, .json, .jsonl, .parquet), a pattern such as
            `data/train-*.parquet`, or a folder of tables.
        options: Columns and `image_root`.
        classes: Classes that the labels must be of; None takes the names found.
        delimiter: What separates the cells of delimited text; "" finds it.
        encoding: Encoding of text; "" finds it.
        columns: Names of the columns of text without a header line, separated by commas.
        image_index: Which image of a list.

    Raises:
        InputError: no such file, an unknown format, a file that cannot be parsed, columns that
            cannot be told or used, links in place of images, two labels of one image, or no row
            with an image.
    """

    shuffled = True

    def __init__(
        self,
        where: str,
        options: Options,
        classes: Classes | None,
        delimiter: str = "",
        encoding: str = "",
        columns: str = "",
        image_index: int = 0,
    ):
        self._where, self._options, self._given = where, options, classes
        self._files = _files(where)
        names = tuple(name.strip() for name in columns.split(",")) if columns else ()
        style = TableStyle(delimiter, encoding, names)
        self._tables = [open_file(file, style) for file in self._files]
        self._index = image_index
        for table in self._tables:
            table.image_index = image_index
        refuse_links(self._tables[0], options)
        self.roles = choose_roles(self._tables[0], options)
        for table in self._tables:
            _check_columns(table, self.roles)
        self._numbers = roles_of_numbers(self._tables[0], options)
        self.columns = choose_columns(
            options.feature_columns,
            {name: map(path.value, self._tables[0].sample) for name, path in self._numbers.items()},
            self._files[0],
        )
        self._images = cells.ParquetImages()
        self._places = self._find_places()
        self.captioned = bool(self.roles.captions)

    def understanding(self) -> list[str]:
        """See `Source`."""
        missing = self._places.describe_missing()
        if missing:
            raise InputError(f"image: of the paths in {self._files[0]} {missing}")
        found = [f"{len(self._files)} files such as"] if len(self._files) > 1 else []
        lines = [f"table: {' '.join([*found, self._files[0]])}"]
        lines += [*self._tables[0].notes, *self.roles.why]
        return lines + ([self._places.note] if self._places.note else [])

    def preview(self, count: int) -> tuple[list[Sample], Classes | None]:
        """See `Source`."""
        samples, classes, _ = self._list(SAMPLE_ROWS)
        return next(iter(samples.values()))[:count], classes

    @functools.cached_property
    def _listing(self) -> tuple[dict[str, list[Sample]], Classes | None, collections.Counter]:
        """The samples by split, the classes, and what was left out: a pass over all rows."""
        return self._list(None)

    def _list(
        self, limit: int | None
    ) -> tuple[dict[str, list[Sample]], Classes | None, collections.Counter]:
        """Lists the samples of all rows, or of at most `limit` rows of the first table."""
        left_out: collections.Counter = collections.Counter()
        records: dict[str, _Record] = {}
        self._hashed: dict[bytes, str] = {}  # Keys by the hash of bytes that stand in rows.
        common = os.path.commonpath([os.path.dirname(file) or "." for file in self._files])
        columns = [*self.roles.columns(), *(path.column for path in self._numbers.values())]
        with tqdm(desc="rows", unit="", disable=True if limit else None) as bar:
            for table in self._tables[: 1 if limit else None]:
                name = os.path.relpath(table.file, common)
                for number, row in itertools.islice(table.rows(columns), limit):
                    reason = self._add(records, _Place(table, name, number), row)
                    left_out.update([reason] if reason else [])
                    bar.update()
        self._hashed.clear()
        if not records:
            found = ", ".join(f"{reason} {count}" for reason, count in left_out.items())
            raise InputError(
                f"source: no row with an image in {self._where}" + (f": {found}" if found else "")
            )
        classes = self._given
        if classes is None and self.roles.label:
            classes = _find_classes(records, self._tables[0], self.roles.label.text)
        return self._split(records, classes, left_out), classes, left_out

    @property
    def classes(self) -> Classes | None:
        """See `Source`."""
        return self._listing[1]

    @property
    def rejected(self) -> collections.Counter:
        """See `Source`."""
        return self._listing[2]

    @property
    def counts(self) -> dict[str, int]:
        """See `Source`."""
        return {split: len(samples) for split, samples in self._listing[0].items()}

    @functools.cached_property
    def fingerprint(self) -> str:
        """See `Source`."""
        return fingerprint_of(self._listing[0], self.classes)

    def samples(self, split: str, start: int, stop: int) -> Iterator[Sample]:
        """See `Source`."""
        return iter(self._listing[0][split][start:stop])

    def read(self, image: _Image) -> bytes:
        """See `Source`."""
        if isinstance(image, str):
            return read_file(image)
        content = self._stored_bytes(image)
        if content is None and image.path:
            return read_file(self._places.path(image.path))
        return content or b""

    def _stored_bytes(self, image: cells.LineCell | cells.ParquetCell) -> bytes | None:
        return image.read() if isinstance(image, cells.LineCell) else self._images.read(image)

    def _find_places(self) -> ImagePlaces:
        sample = [self._image(self.roles.image.value(row)) for row in self._tables[0].sample]
        paths = [
            image.path if isinstance(image, cells.ParquetCell) else image
            for image in sample
            if isinstance(image, str)
        ]
        root = self._options.image_root
        folder = os.path.dirname(self._files[0])
        return ImagePlaces(folder if root is None else root, paths, own_root=root is not None)

    def _image(self, value: object) -> _Image | None:
        """What a cell says of the image: a path, or where its bytes stand; None for nothing."""
        if isinstance(value, list):
            if not -len(value) <= self._index < len(value):
                return None
            value = value[self._index]
        if isinstance(value, str) and value.startswith("{"):
            value = values.parsed(value)  # How pandas writes {"bytes": ..., "path": ...}.
        if isinstance(value, dict):
            texts = [item for item in value.values() if isinstance(item, str)]
            value = value.get("path") or (texts[0] if texts else None)
        if values.is_missing(value):
            return None
        if isinstance(value, cells.LineCell | cells.ParquetCell):
            return value
        return str(value)

    def _add(self, records: dict[str, _Record], place: "_Place", row: Row) -> str:
        """Adds a row to the records; returns the reason why it is left out, if it is."""
        image = None if row is None else self._image(self.roles.image.value(row))
        if image is None:
            return "malformed_row" if row is None else "missing_image"
        if isinstance(image, str) and self._places.is_ambiguous(image):
            return "ambiguous_path"
        split = place.split or "train"  # As the name of the file says, unless a column does.
        if self.roles.split:
            split = splits.canonical(str(self.roles.split.value(row)))
        if split is None:
            return "unknown_split"
        try:
            captions = [text for column in self.roles.captions for text in column.texts(row)]
        except values.NotText:
            return "caption_not_text"
        key, image = self._key(image, row, place, split)
        label = self.roles.label.value(row) if self.roles.label else None
        numbers = {name: path.value(row) for name, path in self._numbers.items()}
        record = _Record(image, captions, label, split, str(place), numbers)
        known = records.setdefault(key, record)
        if known is record:
            return ""
        if known.split != record.split:
            return "split_conflict"
        if isinstance(image, str) and known.image != image or not self.roles.captions:
            return "duplicate_key"
        _require_alike(key, known, record)
        known.captions.extend(captions)
        return ""

    def _key(self, image: _Image, row: Row, place: "_Place", split: str) -> tuple[str, _Image]:
        """The key of a row's image, the same for all rows of one image, and where it is read."""
        if self.roles.key:
            key = str(self.roles.key.value(row))
        elif isinstance(image, str):
            key = self._places.key(image)
        else:
            key = place.key
            try:
                content = self._stored_bytes(image)
            except image_files.ImageError:
                content = b""
            if content:
                digest = hashlib.blake2b(content, digest_size=16, person=split.encode()).digest()
                key = self._hashed.setdefault(digest, key)
        return clean_key(key), self._places.path(image) if isinstance(image, str) else image

    def _split(
        self,
        records: dict[str, _Record],
        classes: Classes | None,
        left_out: collections.Counter,
    ) -> dict[str, list[Sample]]:
        """The samples of each split that is used, in an order of the seed."""
        found: dict[str, list[Sample]] = {}
        for key, record in records.items():
            label = label_of(record.label, classes)
            sample = Sample(
                key, record.image, tuple(record.captions), label, numbers=record.numbers
            )
            found.setdefault(record.split, []).append(sample)
        uses, _ = splits.choose(found, self._options.validation_split)
        for split in found.keys() - uses.keys():
            left_out[f"split_{split}"] += len(found[split])
        return {use: _ordered(found[split], self._options.seed) for split, use in uses.items()}


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a row stands: `str()` is for messages."""

    table: TableFile
    name: str
    number: int

    @property
    def key(self) -> str:
        """A key for an image without a name."""
        return f"{self.name}/{self.number:07d}"

    @property
    def split(self) -> str | None:
        """The split that the name of the file says, as `train-00000-of-00002.parquet` does."""
        return splits.split_of_file(self.name)

    def __str__(self) -> str:
        return f"{self.table.file}:{self.number}"


def _files(where: str) -> list[str]:
    if os.path.isdir(where):
        inner = sorted(pathlib.Path(where).rglob("*"))
        files = [str(path) for path in inner if path.suffix in FORMATS and not _hidden(path, where)]
        kinds = {pathlib.Path(file).suffix for file in files}
        if ".parquet" in kinds:
            return [file for file in files if file.endswith(".parquet")]
        if len(files) == 1:
            return files
        raise InputError(
            f"source: expected one table, or Parquet files, in the folder {where}, received "
            f"{', '.join(os.path.basename(file) for file in files[:5]) or 'none'}"
        )
    files = [where] if os.path.isfile(where) else sorted(glob.glob(where))
    if not files:
        parent = pathlib.Path(where).parent
        near = [str(path) for path in parent.glob("*") if path.suffix in FORMATS]
        raise InputError(
            f"source: no table {where}"
            + (f"; {suggest(where, near)}" if near else f", nor any other table in {parent}")
        )
    return files


def _hidden(path: pathlib.Path, root: str) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(root).parts)


def _check_columns(table: TableFile, roles: Roles) -> None:
    for name in roles.columns():
        if name not in table.columns:
            raise InputError(f"source: no column {name!r} in {table.file}, which others have")


def _find_classes(records: dict[str, _Record], table: TableFile, column: str) -> Classes | None:
    """Returns the names that Parquet has, or those in the labels; None where all are numbers."""
    names = table.class_names(column)
    if names is None:
        found = {record.label for record in records.values() if not values.is_missing(record.label)}
        if all(whole_number(label) is not None for label in found):
            return None
        names = sorted(str(label) for label in found)
    return Classes(tuple(names), tuple(clean_key(name) for name in names))


def _require_alike(key: str, known: _Record, record: _Record) -> None:
    """Raises `InputError` where two rows of one image have other labels or numbers."""
    if not _same(known.label, record.label):
        raise InputError(
            f"label_column: expected one label for image {key!r}, received {known.label!r} in "
            f"{known.place} and {record.label!r} in {record.place}; mend the table, or leave "
            "labels out with --label_column=none"
        )
    for name, value in record.numbers.items():
        if not _same(known.numbers[name], value):
            raise InputError(
                f"feature_columns: expected one {name!r} for image {key!r}, received "
                f"{known.numbers[name]!r} in {known.place} and {value!r} in {record.place}; mend "
                "the table"
            )


def _same(one: object, other: object) -> bool:
    return one == other or (values.is_missing(one) and values.is_missing(other))


def _ordered(samples: list[Sample], seed: int) -> list[Sample]:
    """Permutes the samples; row groups of Parquet as a whole, and the rows within each."""
    if not samples or not isinstance(samples[0].image, cells.ParquetCell):
        return permuted(samples, seed)
    groups = collections.defaultdict(list)
    for sample in samples:
        groups[sample.image.file, sample.image.group].append(sample)
    ordered = list(groups.values())
    generator = np.random.default_rng(seed)
    return [
        ordered[g][i]
        for g in generator.permutation(len(ordered))
        for i in generator.permutation(len(ordered[g]))
    ]
