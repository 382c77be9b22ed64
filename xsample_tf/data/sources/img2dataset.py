"""What img2dataset writes, in each of its output formats, with its statistics of failed fetches."""

import collections
import functools
import json
import pathlib
import re

import pyarrow
import pyarrow.parquet
import tensorflow as tf

from xsample_tf.data import image_files
from xsample_tf.data.records import FeatureNames
from xsample_tf.data.sources.archives import DAMAGED, Archives, Fields, SkippedSample
from xsample_tf.data.sources.base import (
    FETCH,
    Classes,
    Options,
    TFRecordFiles,
    clean_key,
    only_column,
    register,
)
from xsample_tf.data.sources.byte_ranges import ByteRange, record_ranges
from xsample_tf.data.sources.formats import ENCODING, Row
from xsample_tf.data.sources.formats.cells import ParquetCell, ParquetImages
from xsample_tf.data.sources.interpretation.captions import CaptionColumn
from xsample_tf.data.sources.interpretation.values import Path
from xsample_tf.data.sources.members import CAPTION_LINES, IMAGE_TYPES, Folders, KeyedArchive, Tars
from xsample_tf.errors import InputError, listing

# What stands in a status, and the class that it is counted under.
_STATUSES = (
    (r"HTTP Error 4\d\d", "http_4xx"),
    (r"HTTP Error 5\d\d", "http_5xx"),
    (r"HTTP Error", "http_other"),
    (r"timed out|timeout", "timeout"),
    (r"name resolution|Name or service|nodename|No address", "dns"),
    (r"SSL|certificate", "tls"),
    (r"refused|reset|unreachable|No route|closed connection|IncompleteRead", "connection"),
    (r"disallowed|X-Robots-Tag", "disallowed"),
    (r"decod", "undecodable"),
    (r"too small|too large|aspect ratio", "filtered"),
)


@register("img2dataset", options=[CAPTION_LINES, ENCODING])
def open_img2dataset(
    where: str,
    options: Options,
    classes: Classes | None,
    caption_lines: str = "auto",
    encoding: str = "",
) -> Archives:
    """The output folder of img2dataset in any of its formats: img2dataset:DIR.

    Links that it failed to fetch are counted as "fetch_" and the class of the failure.

    Raises:
        InputError: no such folder, or nothing in it that img2dataset writes.
    """
    root = pathlib.Path(where)
    if not root.is_dir():
        raise InputError(f"source: no folder {where}; expected the output folder of img2dataset")
    shards = [path for path in sorted(root.iterdir()) if re.fullmatch(r"\d+", path.stem)]
    # All formats but Parquet have a Parquet file of the links beside each shard.
    for kind, found in (
        (Tars, [str(path) for path in shards if path.suffix == ".tar"]),
        (Examples, [str(path) for path in shards if path.suffix == ".tfrecord"]),
        (Folders, [str(path) for path in shards if path.is_dir()]),
        (Rows, [str(path) for path in shards if path.suffix == ".parquet"]),
    ):
        if found:
            own = {"caption_lines": caption_lines, "encoding": encoding}
            more = own if issubclass(kind, KeyedArchive) else {}
            return kind(found, options, classes, failed_fetches(root), **more)
    raise InputError(
        f"source: expected what img2dataset writes in {where} (00000.tar, 00000.tfrecord, "
        "00000.parquet or folders 00000), found none"
    )


class Examples(Archives):
    """TFRecord files of `tf.train.Example` with `jpg`, `txt` and the fields of the link."""

    _record: tuple[object, Row] = (None, {})  # The one that was read last, and its place.

    def listed(self, file: str) -> list:
        """See `Archives`."""
        found, whole = record_ranges(file)
        return [*enumerate(found)] + ([] if whole else [SkippedSample(self.name(file), DAMAGED)])

    def tfrecord_files(self) -> TFRecordFiles:
        """See `Source`."""
        files, firsts = [], []
        for file in self._files:
            found, whole = record_ranges(file)
            files.append((file, len(found)))
            firsts += found[:1]
            self.rejected.update({} if whole else {DAMAGED: 1})
        first = firsts[0]
        names = set(tf.train.Example.FromString(first.read()).features.feature)
        image = next((kind for kind in IMAGE_TYPES if kind in names), None)
        captions = only_column(self._options.caption_columns) or "txt"
        if image is None or captions not in names:
            raise InputError(
                f"in_place: expected features {' or '.join(IMAGE_TYPES)} and {captions} in "
                f"{first.file}, received {listing(sorted(names))}"
            )
        return TFRecordFiles({"all": tuple(files)}, FeatureNames(image, "key", captions, ""))

    def key(self, entry: tuple[int, ByteRange]) -> str:
        """See `Archives`."""
        index, place = entry
        try:
            own = self.fields(entry).get("key")
        except image_files.ImageError:
            own = None
        return f"{self.name(place.file)}/{clean_key(str(own)) if own else f'{index:07d}'}"

    def image(self, entry: tuple[int, ByteRange]) -> bytes | None:
        """See `Archives`."""
        fields = self.fields(entry)
        return next((fields[kind] for kind in IMAGE_TYPES if fields.get(kind)), None)

    def fields(self, entry: tuple[int, ByteRange]) -> Row:
        """See `Archives`; the record that was read last is kept."""
        index, place = entry
        if self._record[0] != (place.file, index):
            try:
                features = tf.train.Example.FromString(place.read()).features.feature
            except image_files.ImageError:
                raise
            except Exception as error:  # Protobuf's error class depends on its implementation.
                raise image_files.ImageError("malformed_record") from error
            row = {name: _value(name, feature) for name, feature in features.items()}
            self._record = (place.file, index), row
        return self._record[1]

    def choose_captions(self, fields: Fields) -> tuple[CaptionColumn, ...]:
        """See `Archives`."""
        return _txt_or(fields, self._options, self.why) or super().choose_captions(fields)


class Rows(Archives):
    """Parquet files with the image's bytes, the caption and the status of each link in a row."""

    def __init__(self, *arguments):
        self._images = ParquetImages()
        self._group = functools.lru_cache(maxsize=2)(_read_group)
        super().__init__(*arguments)

    def __getstate__(self) -> dict:
        return super().__getstate__() | {"_group": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__ |= state | {"_group": functools.lru_cache(maxsize=2)(_read_group)}

    def listed(self, file: str) -> list:
        """See `Archives`."""
        try:
            opened = pyarrow.parquet.ParquetFile(file)
            names = opened.schema_arrow.names
            image = next((kind for kind in IMAGE_TYPES if kind in names), None)
            if image is None:
                return [SkippedSample(self.name(file), "missing_image")]
            found = []
            for group in range(opened.num_row_groups):
                rows = opened.read_row_group(group, [n for n in names if n == "status"]).to_pylist()
                rows = rows or [{}] * opened.metadata.row_group(group).num_rows
                for row, fields in enumerate(rows):
                    if fields.get("status", "success") == "success":
                        found.append(ParquetCell(file, image, group, row, 0, None))
        except (OSError, pyarrow.ArrowException):
            return [SkippedSample(self.name(file), DAMAGED)]
        return found

    def key(self, entry: ParquetCell) -> str:
        """See `Archives`."""
        try:
            own = self.fields(entry).get("key")
        except image_files.ImageError:
            own = None
        own = clean_key(str(own)) if own else f"{entry.group}-{entry.row}"
        return f"{self.name(entry.file)}/{own}"

    def image(self, entry: ParquetCell) -> ParquetCell:
        """See `Archives`."""
        return entry

    def fields(self, entry: ParquetCell) -> Row:
        """See `Archives`."""
        try:
            return self._group(entry.file, entry.group, entry.column)[entry.row]
        except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
            raise image_files.ImageError("unreadable_row") from error

    def read(self, image: ParquetCell) -> bytes:
        """See `Source`."""
        return self._images.read(image) or b""


def _txt_or(fields: Fields, options: Options, why: list[str]) -> tuple[CaptionColumn, ...]:
    """The captions in `txt`, as img2dataset calls them; none where another column is named."""
    if options.caption_columns or "txt" not in fields.columns:
        return ()
    why.append("captions: feature 'txt'")
    return (CaptionColumn(Path("txt", ["txt"], "caption_column", fields.file)),)


def failed_fetches(root: pathlib.Path) -> collections.Counter:
    """Counts links without an image by the class of the failure, from the `*_stats.json` files."""
    failed = collections.Counter()
    for path in sorted(root.glob("*_stats.json")):
        try:
            stats = json.loads(path.read_bytes())
            missing = int(stats["count"]) - int(stats["successes"])
            statuses = {str(status): int(n) for status, n in stats.get("status_dict", {}).items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"source: expected the statistics of img2dataset in {path}, received "
                f"something else ({error!r}); without that file its failed fetches are not counted"
            ) from error
        statuses.pop("success", None)
        for status, count in statuses.items():
            failed[FETCH + _status_class(status)] += count
        # Only the commonest statuses are kept there.
        failed[FETCH + "other"] += max(missing - sum(statuses.values()), 0)
    return +failed


def _status_class(status: str) -> str:
    for pattern, name in _STATUSES:
        if re.search(pattern, status, re.IGNORECASE):
            return name
    return "other"


def _read_group(file: str, group: int, image: str) -> list[dict]:
    opened = pyarrow.parquet.ParquetFile(file)
    names = [name for name in opened.schema_arrow.names if name != image]
    return opened.read_row_group(group, names).to_pylist()


def _value(name: str, feature: tf.train.Feature) -> object:
    """Returns the only value of a feature, as text unless it is an image."""
    kind = feature.WhichOneof("kind")
    values = getattr(feature, kind).value if kind else ()
    value = values[0] if values else None
    if isinstance(value, bytes) and name not in IMAGE_TYPES:
        return value.decode("utf-8", "surrogateescape")
    return value
