"""Tables of images and captions as a source: rows to samples, labels to classes."""

import collections
import functools
import hashlib
import itertools
import os
from collections.abc import Iterator

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
    read_file,
    register,
)
from xsample_tf.data.sources.formats import (
    ENCODING,
    SAMPLE_ROWS,
    Row,
    TableFile,
    TableStyle,
    cells,
    open_file,
)
from xsample_tf.data.sources.formats.table_files import find_files
from xsample_tf.data.sources.interpretation import splits, values
from xsample_tf.data.sources.interpretation.image_places import ImagePlaces
from xsample_tf.data.sources.interpretation.labels import (
    label_of,
)
from xsample_tf.data.sources.interpretation.repeated_rows import require_alike
from xsample_tf.data.sources.interpretation.roles import Roles, choose_roles, roles_of_numbers
from xsample_tf.data.sources.interpretation.sampled import NONE
from xsample_tf.data.sources.interpretation.table_records import (
    Listing,
    Place,
    TableImage,
    TableRecord,
    find_classes,
    ordered,
)
from xsample_tf.data.sources.links import refuse_links
from xsample_tf.errors import InputError
from xsample_tf.registry import Option

IMAGE_INDEX = Option("image_index", 0, "Which image of a list of images; -1 is the last.")
_OPTIONS = (
    Option("delimiter", "", "What separates the cells of a text table: ';', '|', tab; else found."),
    ENCODING,
    Option("columns", "", "Names for the columns of a table without a header line, a,b,c."),
    IMAGE_INDEX,
)


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
        self._files = find_files(where)
        self._common = os.path.commonpath([os.path.dirname(file) or "." for file in self._files])
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
        for table in self._tables:
            missing = self._places_of(table).describe_missing()
            if missing:
                raise InputError(f"image: of the paths in {table.file} {missing}")
        found = [f"{len(self._files)} files such as"] if len(self._files) > 1 else []
        lines = [f"table: {' '.join([*found, self._files[0]])}"]
        lines += [*self._tables[0].notes, *self.roles.why]
        return lines + list(dict.fromkeys(p.note for p in self._places.values() if p.note))

    def preview(self, count: int) -> tuple[list[Sample], Classes | None]:
        """See `Source`."""
        listed = self._list(SAMPLE_ROWS)
        self.classes_grow = not listed.has_all_classes
        return next(iter(listed.samples.values()))[:count], listed.classes

    @functools.cached_property
    def _listing(self) -> Listing:
        """What a pass over all rows gives."""
        return self._list(None)

    def _list(self, limit: int | None) -> Listing:
        """Lists the samples of all rows, or of at most `limit` rows of the first table."""
        left_out: collections.Counter = collections.Counter()
        examples: dict[str, str] = {}
        read = 0
        records: dict[str, TableRecord] = {}
        self._hashed: dict[bytes, str] = {}  # Keys by the hash of bytes that stand in rows.
        columns = [*self.roles.columns(), *(path.column for path in self._numbers.values())]
        with tqdm(desc="rows", unit="", disable=True if limit else None) as bar:
            for table in self._tables[: 1 if limit else None]:
                name = os.path.relpath(table.file, self._common)
                for number, row in itertools.islice(table.rows(columns), limit):
                    read += 1
                    place = Place(table, name, number)
                    reason = self._add(records, place, row)
                    if reason:
                        left_out[reason] += 1
                        examples.setdefault(reason, str(place))
                    bar.update()
        self._hashed.clear()
        if not records:
            reasons = (f"{reason} {n} ({examples[reason]})" for reason, n in left_out.items())
            found = ", ".join(reasons)
            raise InputError(
                f"source: no row with an image in {self._where}" + (f": {found}" if found else "")
            )
        classes = self._given
        if classes is None and self.roles.label:
            classes = find_classes(records, self._tables[0], self.roles.label.text)
        samples = self._split(records, classes, left_out)
        whole = limit is None or (read < limit and len(self._tables) == 1)
        listed = self._given is None and classes is not None and not self._has_class_names()
        return Listing(samples, classes, left_out, examples, whole or not listed)

    @property
    def classes(self) -> Classes | None:
        """See `Source`."""
        return self._listing.classes

    @property
    def rejected(self) -> collections.Counter:
        """See `Source`."""
        return self._listing.left_out

    @property
    def examples(self) -> dict[str, str]:
        """See `Source`."""
        return self._listing.examples

    @property
    def counts(self) -> dict[str, int]:
        """See `Source`."""
        return {split: len(samples) for split, samples in self._listing.samples.items()}

    @functools.cached_property
    def fingerprint(self) -> str:
        """See `Source`."""
        return fingerprint_of(self._listing.samples, self.classes)

    def samples(self, split: str, start: int, stop: int) -> Iterator[Sample]:
        """See `Source`."""
        return iter(self._listing.samples[split][start:stop])

    def read(self, image: TableImage) -> bytes:
        """See `Source`."""
        if isinstance(image, str):
            return read_file(image)
        content = self._stored_bytes(image)
        if content is None and image.path:
            folder = self._root(image.file)
            return read_file(self._places[folder].path(image.path))
        return content or b""

    def _stored_bytes(self, image: cells.LineCell | cells.ParquetCell) -> bytes | None:
        return image.read() if isinstance(image, cells.LineCell) else self._images.read(image)

    def _find_places(self) -> dict[str, ImagePlaces]:
        """Where images lie, by the folder that paths are relative to; found on its first table."""
        places = {}
        for table in self._tables:
            root = self._root(table.file)
            if root not in places:
                found = [self._image(self.roles.image.value(row)) for row in table.sample]
                paths = [image for image in found if isinstance(image, str)]
                places[root] = ImagePlaces(root, paths, self._options.image_root is not None)
        return places

    def _root(self, file: str) -> str:
        """What the paths in a table are relative to."""
        root = self._options.image_root
        return os.path.dirname(file) if root is None else root

    def _places_of(self, table: TableFile) -> ImagePlaces:
        return self._places[self._root(table.file)]

    def _image(self, value: object) -> TableImage | None:
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

    def _add(self, records: dict[str, TableRecord], place: Place, row: Row) -> str:
        """Adds a row to the records; returns the reason why it is left out, if it is."""
        image = None if row is None else self._image(self.roles.image.value(row))
        if image is None:
            return "malformed_row" if row is None else "missing_image"
        places = self._places_of(place.table)
        if isinstance(image, str) and places.is_ambiguous(image):
            return "ambiguous_path"
        # As the name of the file says, unless a column does.
        if self.roles.split:
            split = splits.canonical(str(self.roles.split.value(row)))
        else:
            split = splits.split_of_file(place.name) or "train"
        if split is None:
            return "unknown_split"
        try:
            captions = [text for column in self.roles.captions for text in column.texts(row)]
        except values.NotText:
            return "caption_not_text"
        key, image = self._key(image, row, place, split)
        label = self.roles.label.value(row) if self.roles.label else None
        numbers = {name: path.value(row) for name, path in self._numbers.items()}
        record = TableRecord(image, captions, label, split, place, numbers)
        known = records.setdefault(key, record)
        if known is record:
            return ""
        if known.split != record.split:
            return "split_conflict"
        if isinstance(image, str) and known.image != image or not self.roles.captions:
            return "duplicate_key"
        require_alike(known.facts, record.facts, known.place, record.place)
        known.captions.extend(captions)
        return ""

    def _key(self, image: TableImage, row: Row, place: Place, split: str) -> tuple[str, TableImage]:
        """The key of a row's image, the same for all rows of one image, and where it is read."""
        places = self._places_of(place.table)
        named = self.roles.key.value(row) if self.roles.key else None
        if not values.is_missing(named):
            key = str(named)
        elif isinstance(image, str):
            key = places.key(image)
            if len(self._places) > 1:  # Tables of several folders may use the same names.
                key = os.path.normpath(os.path.join(os.path.dirname(place.name), key))
        else:
            key = f"{place.name}/{place.number:07d}"
            try:
                joins = self._options.key_column != NONE
                content = self._stored_bytes(image) if joins else b""
            except image_files.ImageError:
                content = b""
            if content:
                digest = hashlib.blake2b(content, digest_size=16, person=split.encode()).digest()
                key = self._hashed.setdefault(digest, key)
        return clean_key(key), places.path(image) if isinstance(image, str) else image

    def _has_class_names(self) -> bool:
        label = self.roles.label
        return bool(label) and self._tables[0].class_names(label.text) is not None

    def _split(
        self,
        records: dict[str, TableRecord],
        classes: Classes | None,
        left_out: collections.Counter,
    ) -> dict[str, list[Sample]]:
        """The samples of each split that is used, in an order of the seed."""
        found: dict[str, list[Sample]] = {}
        for key, record in records.items():
            label = label_of(record.label, classes)
            sample = Sample(
                key,
                record.image,
                tuple(record.captions),
                label,
                numbers=record.numbers,
                place=record.place,
            )
            found.setdefault(record.split, []).append(sample)
        uses, _ = splits.choose(found, self._options.validation_split)
        for split in found.keys() - uses.keys():
            left_out[f"split_{split}"] += len(found[split])
        return {use: ordered(found[split], self._options.seed) for split, use in uses.items()}


def _check_columns(table: TableFile, roles: Roles) -> None:
    for name in roles.columns():
        if name not in table.columns:
            raise InputError(f"source: no column {name!r} in {table.file}, which others have")
