"""Images to embed, of a folder, a source or a data directory, each with what is known of it."""

import contextlib
import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import tensorflow as tf

from xsample_tf import files
from xsample_tf.data import image_files, manifest, sources
from xsample_tf.data.shards import read_records
from xsample_tf.data.sources.base import read_file
from xsample_tf.errors import InputError, bounded, suggest


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What is known of an image.

    Attributes:
        key: Its name.
        path: Its file; "" where it stands in another one.
        captions: Its captions.
        label: Its class; None where it has none.
        place: Where it stands, for messages; "" where the key says it.
    """

    key: str
    path: str = ""
    captions: tuple[str, ...] = ()
    label: int | None = None
    place: str = ""


class Images(Protocol):
    """Images in an order that is always the same.

    Attributes:
        counts: Number of images by split; those of "all" are not split.
        settings: What tells these images, in this order, from others; JSON values.
        rejected: How many were left out while they were listed, by reason.
    """

    counts: Mapping[str, int]
    settings: Mapping[str, object]
    rejected: Mapping[str, int]

    def read(
        self, split: str, start: int, stop: int
    ) -> Iterator[tuple[Entry, Callable[[], bytes]]]:
        """Yields the images at positions [start, stop) of a split, each with what reads its file.

        The file is JPEG or PNG. Reading it raises an `image_files.ImageError` with the reason where
        there is none; it is called from many threads.
        """

    def class_names(self) -> Sequence[str] | None:
        """Returns the names of the classes, once the images are read; None without names."""

    def understanding(self) -> list[str]:
        """Returns what the images were taken for, in lines for the log.

        Raises:
            InputError: None of the first images is where the source says.
        """


class SourceImages:
    """The images of a source, shown as viewers show them.

    Args:
        spec: The source as `data.sources.open_source` takes it, KIND:WHERE.
        options: How to read it.

    Raises:
        InputError: As of `open_source`.
    """

    def __init__(self, spec: str, options: sources.Options):
        self._source = sources.open_source(spec, options)
        changed = sources.changed_options(spec, options)
        # A source is told by the names of its images, not by where they are.
        where = {"image_column": options.image_column, "image_root": options.image_root}
        self._options = {"seed": options.seed, "source_options": changed, **where}

    @functools.cached_property
    def counts(self) -> Mapping[str, int]:
        """See `Images`; a source may have to be listed for it."""
        return dict(self._source.counts)

    @property
    def settings(self) -> Mapping[str, object]:
        """See `Images`."""
        return {"source": self._source.fingerprint, **self._options}

    @property
    def rejected(self) -> Mapping[str, int]:
        """See `Images`."""
        return dict(self._source.rejected)

    def read(
        self, split: str, start: int, stop: int
    ) -> Iterator[tuple[Entry, Callable[[], bytes]]]:
        """See `Images`."""
        for sample in self._source.samples(split, start, stop):
            entry = Entry(
                _utf8(sample.key),
                _utf8(sample.image) if isinstance(sample.image, str) else "",
                tuple(map(_utf8, sample.captions)),
                sample.label if sample.label is not None and sample.label >= 0 else None,
                _utf8(str(sample.place)),
            )
            yield entry, lambda sample=sample: self._content(sample)

    def class_names(self) -> Sequence[str] | None:
        """See `Images`."""
        return self._source.classes and self._source.classes.names

    def understanding(self) -> list[str]:
        """See `Images`."""
        lines = []
        for line in self._source.understanding():
            role, colon, rest = line.partition(": ")
            lines.append(bounded(f"{role:<23} {rest}" if colon else f"{'':<24}{line}"))
        return lines

    def _content(self, sample: sources.Sample) -> bytes:
        if sample.fault:
            raise image_files.ImageError(sample.fault)
        try:
            return image_files.as_viewed(self._source.read(sample.image))[0]
        except (InputError, image_files.ImageError):
            raise
        except Exception as error:  # One image never ends the run.
            raise image_files.ImageError(f"error_{type(error).__name__}") from error


class FolderImages:
    """The image files of a folder and of the folders in it, in the order of their names.

    Args:
        folder: The folder. Hidden files are passed over, and links are followed.

    Raises:
        InputError: There is no file in it.
    """

    def __init__(self, folder: str | os.PathLike):
        self._folder, self._paths = os.fspath(folder), list(files.walk(folder))
        if not self._paths:
            raise InputError(f"images: expected a folder with files, received {self._folder!r}")
        self.counts, self.rejected = {"all": len(self._paths)}, {}
        self.settings = {"files": _digest(self._paths_and_states())}

    def read(
        self, split: str, start: int, stop: int
    ) -> Iterator[tuple[Entry, Callable[[], bytes]]]:
        """See `Images`."""
        for path in self._paths[start:stop]:
            yield Entry(self._key(path), _utf8(path)), functools.partial(_file, path)

    def class_names(self) -> None:
        """See `Images`."""

    def understanding(self) -> list[str]:
        """See `Images`."""
        return [f"{'files':<23} {len(self._paths):,} in {self._folder}"]

    def _key(self, path: str) -> str:
        return _utf8(os.path.relpath(path, self._folder))

    def _paths_and_states(self) -> list[tuple[str, int, int]]:
        """Key, size and time of change of each file."""
        states = []
        for path in self._paths:
            with contextlib.suppress(OSError):  # A link to nowhere.
                state = os.stat(path)
                states.append((self._key(path), state.st_size, state.st_mtime_ns))
        return states


class PreparedImages:
    """The images of a data directory, as they are stored.

    Args:
        directory: What `data.prepare` wrote.
        split: "train" or "val". Defaults to None, which is both.

    Raises:
        InputError: No data directory, or no such split.
    """

    def __init__(self, directory: str, split: str | None = None):
        self._dataset = manifest.read_dataset(directory)
        splits = self._dataset.splits
        if split is not None and split not in splits:
            raise InputError(
                f"split: expected one of {directory}, received {split!r}; {suggest(split, splits)}"
            )
        chosen = splits if split is None else [split]
        self.counts, self.rejected = {name: self._dataset.records(name) for name in chosen}, {}
        hashes = [(name, shard.records, shard.sha256) for name in chosen for shard in splits[name]]
        self.settings = {"data_dir": _digest(hashes)}

    def read(
        self, split: str, start: int, stop: int
    ) -> Iterator[tuple[Entry, Callable[[], bytes]]]:
        """See `Images`."""
        for place, record in self._records(split, start, stop):
            features = tf.train.Example.FromString(record).features.feature
            yield self._entry(place, features), functools.partial(self._content, features)

    def class_names(self) -> Sequence[str] | None:
        """See `Images`."""
        return self._dataset.class_names

    def understanding(self) -> list[str]:
        """See `Images`."""
        return [f"{split:<23} {count:,} images" for split, count in self.counts.items()]

    def _records(self, split: str, start: int, stop: int) -> Iterator[tuple[str, bytes]]:
        """Yields records at positions of a split, with where they stand."""
        directory, first = pathlib.Path(self._dataset.directory), 0
        for shard in self._dataset.splits[split]:
            last = first + shard.records
            if start < last and first < stop:
                for position, record in enumerate(read_records(directory, shard), first):
                    if position == stop:
                        return
                    if position >= start:
                        yield f"{shard.path}:{position - first}", record
            first = last

    def _entry(self, place: str, features: Mapping) -> Entry:
        names = self._dataset.features
        keys = _values(features, names.key, "bytes_list")
        labels = _values(features, names.label, "int64_list")
        captions = _values(features, names.captions, "bytes_list")
        return Entry(
            key=keys[0].decode("utf-8", "replace") if keys else place,
            captions=tuple(caption.decode("utf-8", "replace") for caption in captions),
            label=labels[0] if labels and labels[0] >= 0 else None,
            place=place,
        )

    def _content(self, features: Mapping) -> bytes:
        contents = _values(features, self._dataset.features.image, "bytes_list")
        if not contents or not contents[0]:
            raise image_files.ImageError("empty_file")
        return contents[0]


def _values(features: Mapping, name: str, kind: str) -> Sequence:
    """The values of a record's part; none where the records have no such part."""
    return getattr(features[name], kind).value if name else ()


def _file(path: str) -> bytes:
    return image_files.as_viewed(read_file(path))[0]


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _utf8(text: str) -> str:
    """Text that can be stored, whatever bytes a file's name has."""
    return text.encode("utf-8", "backslashreplace").decode()
