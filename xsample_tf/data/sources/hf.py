"""Data sets of the Hugging Face hub as a source, streamed by the `datasets` package."""

import collections
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from xsample_tf.data import image_files
from xsample_tf.data.feature_columns import choose_columns
from xsample_tf.data.sources.base import Classes, Options, Sample, Source, clean_key, register
from xsample_tf.data.sources.formats import SAMPLE_ROWS, Row, cells
from xsample_tf.data.sources.interpretation import roles, splits, values
from xsample_tf.data.sources.interpretation.labels import label_of
from xsample_tf.errors import InputError

_SAVED = ("dataset_dict.json", "state.json")  # What `save_to_disk` writes.


@dataclasses.dataclass
class _First:
    """The first rows without their images; see `roles.Sampled`."""

    file: str
    columns: tuple[str, ...]
    sample: list[Row]


@register("hf")
class HuggingFace(Source):
    """Data sets of the Hugging Face hub, or a local folder of one: hf:NAME or hf:NAME:CONFIG.

    Takes what `datasets.load_dataset` or `datasets.load_from_disk` opens.

    It is streamed, so that nothing is downloaded twice or kept. Images are taken as they are
    stored, undecoded. A `ClassLabel` feature is the label where it is the only one.

    Args:
        where: NAME, NAME:CONFIG, or the folder of a local data set.
        options: Columns.
        classes: Replaces the names of the class label.

    Raises:
        InputError: The package is not installed, no such data set, or columns that cannot be told
            or used.
    """

    def __init__(self, where: str, options: Options, classes: Classes | None):
        self._where = where
        datasets = _package()
        found = _open(datasets, where)
        by_split = {splits.canonical(name): name for name in found}
        if None in by_split:
            by_split = {"train": next(iter(found))} if len(found) == 1 else by_split
        by_split.pop(None, None)
        uses, self._notes = splits.choose(by_split, options.validation_split)
        self._streams = {use: found[by_split[split]] for split, use in uses.items()}
        self._unused = {split: found[name] for split, name in by_split.items() if split not in uses}
        first = next(iter(self._streams.values()))
        self._images = _columns_of(first, datasets.Image)
        rows = self._first_rows(first)
        self.roles = roles.choose_roles(rows, self._with_label(first, options))
        self._numbers = roles.roles_of_numbers(rows, options)
        found = {name: map(path.value, rows.sample) for name, path in self._numbers.items()}
        self.columns = choose_columns(options.feature_columns, found, where)
        names = [*self.roles.columns(), *(path.column for path in self._numbers.values())]
        for use, stream in self._streams.items():
            for name in self._images:
                stream = stream.cast_column(name, datasets.Image(decode=False))
            self._streams[use] = stream.select_columns(list(dict.fromkeys(names)))
        if classes is None and self.roles.label:
            names = getattr(first.features.get(self.roles.label.text), "names", None)
            classes = names and Classes(tuple(names), tuple(clean_key(name) for name in names))
        self.classes = classes or None
        self.captioned = bool(self.roles.captions)
        self._open_stream: tuple[str, int, Iterator[Row]] | None = None

    def understanding(self) -> list[str]:
        """See `Source`."""
        return [f"datasets: {self._where}", *self._notes, *self.roles.why]

    def preview(self, count: int) -> tuple[list[Sample], Classes | None]:
        """See `Source`."""
        use = next(iter(self._streams))
        rows = itertools.islice(self._streams[use], count)
        return [self._sample(f"{use}/{i:07d}", row) for i, row in enumerate(rows)], self.classes

    @functools.cached_property
    def counts(self) -> dict[str, int]:
        """See `Source`."""
        return {use: _count(stream, use) for use, stream in self._streams.items()}

    @functools.cached_property
    def rejected(self) -> collections.Counter:
        """See `Source`."""
        found = {f"split_{split}": _count(s, split) for split, s in self._unused.items()}
        return collections.Counter(found)

    @property
    def fingerprint(self) -> str:
        """See `Source`."""
        return f"datasets {self._where} {self.roles.why} {self.counts}"

    def samples(self, split: str, start: int, stop: int) -> Iterator[Sample]:
        """See `Source`; a stream that was read up to `start` goes on there."""
        rows = self._rows(split, start)
        for index in range(start, stop):
            row = next(rows, None)
            if row is None:
                yield Sample(f"{split}/{index:07d}", None, fault="missing_row")
                continue
            self._open_stream = (split, index + 1, rows)
            yield self._sample(f"{split}/{index:07d}", row)

    def read(self, image: dict[str, Any] | str) -> bytes:
        """See `Source`."""
        try:
            content = cells.image_bytes(image) if isinstance(image, dict) else None
            path = image.get("path") if isinstance(image, dict) else image
            if content is None and path:
                import fsspec

                with fsspec.open(path, "rb") as file:
                    content = file.read()
        except FileNotFoundError as error:
            raise image_files.ImageError("missing_file") from error
        except OSError as error:
            raise image_files.ImageError("unreadable_file") from error
        return content or b""

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_open_stream": None}

    def _rows(self, split: str, start: int) -> Iterator[Row]:
        if self._open_stream and self._open_stream[:2] == (split, start):
            return self._open_stream[2]
        try:
            return iter(self._streams[split].skip(start))
        except OSError as error:
            raise InputError(f"source: cannot read {self._where} ({_line(error)})") from error

    def _sample(self, key: str, row: Row) -> Sample:
        if self.roles.key:
            key = f"{key.partition('/')[0]}/{clean_key(str(self.roles.key.value(row)))}"
        image = self.roles.image.value(row)
        image = image[0] if isinstance(image, list) and image else image
        if values.is_missing(image):
            return Sample(key, None, fault="missing_image")
        try:
            captions = [text for column in self.roles.captions for text in column.texts(row)]
        except values.NotText:
            return Sample(key, None, fault="caption_not_text")
        label = self.roles.label.value(row) if self.roles.label else None
        number = None if label == -1 else label_of(label, self.classes)
        numbers = {name: path.value(row) for name, path in self._numbers.items()}
        return Sample(key, image, tuple(captions), number, numbers=numbers)

    def _first_rows(self, stream: Any) -> _First:
        """The first rows; an image is not fetched to choose columns."""
        others = [name for name in stream.features if name not in self._images]
        rows = stream.select_columns(others) if others else []
        sample = [dict(row) for row in itertools.islice(rows, SAMPLE_ROWS)]
        sample = [row | dict.fromkeys(self._images, {"path": ""}) for row in sample or [{}]]
        return _First(self._where, tuple(stream.features), sample)

    def _with_label(self, stream: Any, options: Options) -> Options:
        """The options with the only class label as the label column, unless another is named."""
        labels = _columns_of(stream, _package().ClassLabel)
        if options.label_column or len(labels) != 1:
            return options
        return dataclasses.replace(options, label_column=labels[0])


def _package() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            "source: hf: needs the package datasets; pip install 'xsample_tf[hf]'"
        ) from error
    return datasets


def _open(datasets: Any, where: str) -> dict[str, Any]:
    """Returns the splits of a data set as streams, by name."""
    try:
        if any(pathlib.Path(where, name).is_file() for name in _SAVED):
            found = datasets.load_from_disk(where)
        else:
            name, _, config = (where, "", "") if os.path.exists(where) else where.partition(":")
            found = datasets.load_dataset(name, config or None, streaming=True)
    except Exception as error:  # The package raises anything: no network, no such name, ...
        raise InputError(
            f"source: datasets cannot open {where!r} ({_line(error)}); expected hf:NAME or "
            "hf:NAME:CONFIG of the hub, or a folder that datasets loads"
        ) from error
    if not isinstance(found, dict):
        found = {"train": found}
    return {name: _streamed(stream) for name, stream in found.items()}


def _streamed(stream: Any) -> Any:
    """A data set whose features are known."""
    return stream if stream.features is not None else stream._resolve_features()


def _columns_of(stream: Any, kind: type) -> list[str]:
    return [name for name, feature in stream.features.items() if isinstance(feature, kind)]


def _count(stream: Any, split: str) -> int:
    """The number of rows: as the data set says, else counted without its images."""
    if hasattr(stream, "__len__"):
        return len(stream)
    info = (stream.info.splits or {}).get(str(stream.split))
    if info is not None and info.num_examples:
        return info.num_examples
    rows = stream.select_columns(list(stream.features)[-1:])
    return sum(1 for _ in tqdm(rows, desc=f"counting {split}", unit="", disable=None))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
