"""Data sets of the Hugging Face hub as a source, streamed by the `datasets` package."""

import collections
import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tqdm import tqdm

from xsample_tf.data import image_files
from xsample_tf.data.feature_columns import choose_columns
from xsample_tf.data.sources.base import (
    Classes,
    Options,
    Sample,
    Source,
    clean_key,
    read_file,
    register,
)
from xsample_tf.data.sources.formats import SAMPLE_ROWS, Row, cells
from xsample_tf.data.sources.formats.hub_streams import (
    count_rows,
    open_streams,
    package,
    undecoded,
)
from xsample_tf.data.sources.interpretation import roles, splits, values
from xsample_tf.data.sources.interpretation.labels import label_of
from xsample_tf.data.sources.interpretation.repeated_rows import KeptRows, RepeatedRows
from xsample_tf.data.sources.interpretation.sampled import NONE
from xsample_tf.data.sources.table import IMAGE_INDEX
from xsample_tf.errors import InputError, listing, shorten


@dataclasses.dataclass
class _First:
    """The first rows without their images; see `sampled.Sampled`."""

    file: str
    columns: tuple[str, ...]
    sample: list[Row]


@register("hf", options=[IMAGE_INDEX])
class HuggingFace(Source):
    """Data sets of the Hugging Face hub, or a local folder of one: hf:NAME or hf:NAME:CONFIG.

    Takes what `datasets.load_dataset` or `datasets.load_from_disk` opens.

    It is streamed, so that nothing is kept. Images are taken as they are stored, undecoded. A
    `ClassLabel` feature is the label where it is the only one. Rows of one image are one sample
    with all captions: of one `Options.key_column`, else with the same bytes, which takes a pass
    over the stream; `key_column` "none" makes each row a sample.

    Args:
        where: NAME, NAME:CONFIG, or the folder of a local data set.
        options: Columns.
        classes: Replaces the names of the class label.
        image_index: Which image of a list.

    Raises:
        InputError: The package is not installed, no such data set, columns that cannot be told or
            used, or rows of one image with other labels.
    """

    def __init__(self, where: str, options: Options, classes: Classes | None, image_index: int = 0):
        self._where, self._options, self._index = where, options, image_index
        found = open_streams(where)
        first = next(iter(found.values()))
        features = {name: undecoded(feature) for name, feature in first.features.items()}
        self._images = {name: feature for name, feature in features.items() if feature is not None}
        rows = self._first_rows(first)
        self.roles = roles.choose_roles(rows, self._with_label(first, options))
        self._numbers = roles.roles_of_numbers(rows, options)
        numbers = {name: map(path.value, rows.sample) for name, path in self._numbers.items()}
        self.columns = choose_columns(options.feature_columns, numbers, where)
        if classes is None and self.roles.label:
            names = getattr(first.features.get(self.roles.label.text), "names", None)
            classes = names and Classes(tuple(names), tuple(clean_key(name) for name in names))
        self.classes = classes or None
        self.captioned = bool(self.roles.captions)
        self._streams = {name: self._narrow(stream) for name, stream in found.items()}
        self._choose_splits()
        self._open_stream: tuple[str, int, Iterator[Row]] | None = None

    def _choose_splits(self) -> None:
        """Decides the use of each stream, or that a column tells the split of each row."""
        self._split_of = {name: splits.canonical(name) for name in self._streams}
        if len(self._streams) == 1 and not all(self._split_of.values()):
            self._split_of = dict.fromkeys(self._streams, "train")
        # Where the data set itself has splits, a column is not looked at.
        self._by_column = bool(self.roles.split) and len(self._streams) == 1
        self._uses, self._notes = {}, ()
        if self._by_column:
            return
        known = [split for split in self._split_of.values() if split]
        if not known:
            raise InputError(
                f"source: expected a split 'train' in {self._where}, received "
                f"{listing(self._streams)}"
            )
        self._uses, self._notes = splits.choose(
            dict.fromkeys(known), self._options.validation_split
        )
        strangers = [name for name, split in self._split_of.items() if split is None]
        self._notes += tuple(f"split {name!r} is left out" for name in strangers)

    def understanding(self) -> list[str]:
        """See `Source`."""
        lines = [f"datasets: {self._where}", *self._notes, *self.roles.why]
        if self.roles.split and not self._by_column:
            lines.append(f"split column: not looked at, since there are {listing(self._streams)}")
        if self._joins:
            how = f"of one {self.roles.key.text!r}" if self.roles.key else "with the same bytes"
            lines.append(f"rows {how} are one image (--key_column=none: each row is one)")
        return lines

    def preview(self, count: int) -> tuple[list[Sample], Classes | None]:
        """See `Source`."""
        name = next((n for n, split in self._split_of.items() if split == "train"), None)
        name = name or next(iter(self._streams))
        rows = list(itertools.islice(self._streams[name], SAMPLE_ROWS if self._joins else count))
        found = self._kept(name, enumerate(rows))
        kept = found.get("train") or next(iter(found.values()), KeptRows([]))
        samples = [self._sample(name, kept, n, rows[n]) for n in kept.rows[:count]]
        return samples, self.classes

    @functools.cached_property
    def _parts(self) -> dict[str, list[tuple[str, KeptRows]]]:
        """The rows that are samples, by split and stream: a pass over those where rows join."""
        parts: dict[str, list[tuple[str, KeptRows]]] = collections.defaultdict(list)
        for name, stream in self._streams.items():
            split = self._split_of[name] or name
            if not self._by_column and not (self._joins and split in self._uses):
                parts[split].append((name, KeptRows(range(count_rows(stream, name)))))
                continue
            if not self._joins:
                stream = stream.select_columns([self.roles.split.column])
            rows = enumerate(tqdm(stream, desc=f"rows of {name}", unit="", disable=None))
            for own, kept in self._kept(name, rows).items():
                parts[own].append((name, kept))
        return parts

    @functools.cached_property
    def _used(self) -> dict[str, list[tuple[str, KeptRows]]]:
        """The parts by use."""
        uses = self._uses
        if self._by_column:
            found = [split for split in ("train", "val", "test") if split in self._parts]
            uses, _ = splits.choose(found, self._options.validation_split)
        return {use: self._parts[split] for split, use in uses.items()}

    @property
    def counts(self) -> dict[str, int]:
        """See `Source`."""
        return {use: sum(len(kept.rows) for _, kept in parts) for use, parts in self._used.items()}

    @functools.cached_property
    def rejected(self) -> collections.Counter:
        """See `Source`."""
        found: collections.Counter = collections.Counter()
        used = {id(kept) for parts in self._used.values() for _, kept in parts}
        for split, parts in self._parts.items():
            for _, kept in parts:
                if id(kept) in used:
                    found += kept.left_out
                elif kept.rows:
                    found[f"split_{split}"] += len(kept.rows)
        return found

    @property
    def examples(self) -> dict[str, str]:
        """See `Source`."""
        every = [kept.examples for parts in self._used.values() for _, kept in parts]
        return {reason: place for own in reversed(every) for reason, place in own.items()}

    @property
    def fingerprint(self) -> str:
        """See `Source`."""
        return f"datasets {self._where} {self.roles.why} {self._index} {self.counts}"

    def samples(self, split: str, start: int, stop: int) -> Iterator[Sample]:
        """See `Source`; a stream that was read up to `start` goes on there."""
        before = 0
        for name, kept in self._used[split]:
            numbers = kept.rows[max(start - before, 0) : max(stop - before, 0)]
            before += len(kept.rows)
            yield from self._samples(name, kept, numbers)

    def read(self, image: dict[str, Any] | str | bytes) -> bytes:
        """See `Source`."""
        content = cells.image_bytes(image, self._index) if not isinstance(image, str) else None
        path = image.get("path") if isinstance(image, dict) else image
        if content is None and isinstance(path, str) and path:
            if cells.is_base64_image(path):
                return cells.from_base64(path)
            content = self._fetched(path)
        return content or b""

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_open_stream": None}

    @property
    def _joins(self) -> bool:
        """Whether rows of one image become one sample."""
        return self.captioned and self._options.key_column != NONE

    def _kept(self, name: str, rows: Iterable[tuple[int, Row]]) -> dict[str, KeptRows]:
        """The rows of a stream that are samples, by their split."""
        found: dict[str, RepeatedRows] = {}
        where = f"{self._where} {name}"
        for number, row in rows:
            split = self._split_of[name] or name
            if self._by_column:
                split = splits.canonical(str(self.roles.split.value(row))) or "unknown"
            if split not in found:
                found[split] = RepeatedRows(self._identity, self._captions, self._facts, where)
            found[split].add(number, row)
        return {split: own.kept for split, own in found.items()}

    def _identity(self, row: Row) -> str | bytes | None:
        """What the image of a row is known by; None where each row is a sample."""
        if not self._joins:
            return None
        key = self._named_key(row)
        if key is not None:
            return key
        image = self._image(row)
        if values.is_missing(image):
            return None
        try:
            content = None if isinstance(image, str) else cells.image_bytes(image, self._index)
        except image_files.ImageError:
            return None
        path = image.get("path") if isinstance(image, dict) else image
        return content or (path if isinstance(path, str) and path else None)

    def _named_key(self, row: Row) -> str | None:
        """The key that a row has of its own; None where it has none."""
        key = self.roles.key.value(row) if self.roles.key else None
        return None if values.is_missing(key) else str(key)

    def _facts(self, row: Row) -> dict[str, object]:
        facts = {name: path.value(row) for name, path in self._numbers.items()}
        return facts | ({"label": self.roles.label.value(row)} if self.roles.label else {})

    def _captions(self, row: Row) -> list[str]:
        return [text for column in self.roles.captions for text in column.texts(row)]

    def _image(self, row: Row) -> Any:
        """The image of a row, the one that is asked for where there is a list."""
        image = self.roles.image.value(row)
        if not isinstance(image, list):
            return image
        return image[self._index] if -len(image) <= self._index < len(image) else None

    def _samples(self, name: str, kept: KeptRows, numbers: Sequence[int]) -> Iterator[Sample]:
        """Yields the samples of some of the rows of a stream, in its order."""
        if not numbers:
            return
        rows, at = self._rows(name, numbers[0]), numbers[0]
        for number in numbers:
            row = next(itertools.islice(rows, number - at, None), None)
            at = number + 1
            if row is None:
                yield Sample(f"{name}/{number:07d}", None, fault="missing_row")
                continue
            self._open_stream = (name, at, rows)
            yield self._sample(name, kept, number, row)

    def _rows(self, name: str, start: int) -> Iterator[Row]:
        """The rows of a stream from a place on; one that was read up to there goes on."""
        if self._open_stream and self._open_stream[0] == name and self._open_stream[1] <= start:
            _, at, rows = self._open_stream
            collections.deque(itertools.islice(rows, start - at), maxlen=0)
            return rows
        try:
            return iter(self._streams[name].skip(start))
        except OSError as error:
            raise InputError(
                f"source: cannot read {self._where} ({shorten(error, 120)})"
            ) from error

    def _sample(self, name: str, kept: KeptRows, number: int, row: Row) -> Sample:
        key = self._named_key(row) or f"{number:07d}"
        key, place = f"{name}/{clean_key(key)}", f"{self._where} {name}:{number}"
        image = self._image(row)
        if values.is_missing(image):
            return Sample(key, None, fault="missing_image", place=place)
        try:
            captions = (*self._captions(row), *kept.captions.get(number, ()))
        except values.NotText:
            return Sample(key, None, fault="caption_not_text", place=place)
        label = self.roles.label.value(row) if self.roles.label else None
        label = None if label == -1 else label_of(label, self.classes)
        numbers = {name: path.value(row) for name, path in self._numbers.items()}
        return Sample(key, image, captions, label, numbers=numbers, place=place)

    def _fetched(self, path: str) -> bytes:
        """The bytes of a file: a local one, or one that fsspec reads."""
        root = self._options.image_root or (self._where if os.path.isdir(self._where) else "")
        if "://" not in path:
            return read_file(os.path.join(root, path))
        try:
            import fsspec

            with fsspec.open(path, "rb") as file:
                return file.read()
        except FileNotFoundError as error:
            raise image_files.ImageError("missing_file") from error
        except OSError as error:
            raise image_files.ImageError("unreadable_file") from error

    def _narrow(self, stream: Any) -> Any:
        """A stream of the columns that are read, with images as they are stored."""
        names = [*self.roles.columns(), *(path.column for path in self._numbers.values())]
        stream = stream.select_columns(list(dict.fromkeys(names)))
        for name, feature in self._images.items():
            if name in names:
                stream = stream.cast_column(name, feature)
        return stream

    def _first_rows(self, stream: Any) -> _First:
        """The first rows; an image is not fetched to choose columns."""
        others = [name for name in stream.features if name not in self._images]
        rows = stream.select_columns(others) if others else []
        sample = [dict(row) for row in itertools.islice(rows, SAMPLE_ROWS)]
        sample = [row | dict.fromkeys(self._images, {"path": ""}) for row in sample or [{}]]
        return _First(self._where, tuple(stream.features), sample)

    def _with_label(self, stream: Any, options: Options) -> Options:
        """The options with the only class label as the label column, unless another is named."""
        kind = package().ClassLabel
        labels = [name for name, feature in stream.features.items() if isinstance(feature, kind)]
        if options.label_column or len(labels) != 1:
            return options
        return dataclasses.replace(options, label_column=labels[0])
