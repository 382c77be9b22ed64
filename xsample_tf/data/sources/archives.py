"""Sources of many archives (tars, folders of files, TFRecord), read one archive after the other.

Opening such a source looks at its first samples. A count per archive is taken before the work, the
samples of one archive are listed when the preparation comes to it, and images are read from where
they lie.
"""

import abc
import bisect
import collections
import dataclasses
import functools
import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence

from tqdm import tqdm

from xsample_tf.data import image_files
from xsample_tf.data.feature_columns import choose_columns
from xsample_tf.data.sources.base import Classes, Options, Sample, Source, clean_key
from xsample_tf.data.sources.formats import SAMPLE_ROWS, Row
from xsample_tf.data.sources.interpretation import roles, splits, values
from xsample_tf.data.sources.interpretation.captions import CaptionColumn, choose_captions
from xsample_tf.data.sources.interpretation.labels import (
    class_key,
    is_missing_label,
    label_of,
    whole_number,
)
from xsample_tf.data.sources.interpretation.sampled import NONE
from xsample_tf.data.sources.interpretation.values import Path
from xsample_tf.errors import InputError, listing

DAMAGED = "archive_damaged"  # Cut in the middle, or not one at all; what stands before is used.


@dataclasses.dataclass(frozen=True, slots=True)
class SkippedSample:
    """What stands in an archive's list in place of a sample: the reason why there is none."""

    key: str
    reason: str


@dataclasses.dataclass
class Fields:
    """The fields of the first samples; see `Sampled`."""

    file: str
    sample: list[Row]
    columns: Sequence[str] = ()

    def __post_init__(self):
        self.columns = tuple(dict.fromkeys(name for row in self.sample for name in row))


class Archives(Source):
    """A source of archives, in their order and that of the samples within each.

    Keys begin with the archive's name, so that archives may use the same keys. Archives whose names
    say splits, such as `train-00000.tar` and `test-00000.tar`, are used as `splits.choose` says.

    Args:
        files: The archives.
        options: Columns.
        classes: Classes that the labels must be of.
        rejected: What was left out before, by reason.

    Raises:
        InputError: No sample in any of them, or captions that cannot be told or used.
    """

    default_resize = 256
    _without_image: Sequence = ()  # The first entries that have no image.
    _chosen = False  # Whether it is known where captions, label and numbers stand.

    def __init__(
        self,
        files: Sequence[str],
        options: Options,
        classes: Classes | None,
        rejected: collections.Counter | None = None,
    ):
        self.classes = classes
        self._options = options
        self._files = files
        self._common = os.path.commonpath([os.path.dirname(file) or "." for file in files])
        self._given = rejected or collections.Counter()
        self._last: tuple[str, list] = ("", [])  # The list of the archive that was read last.
        found = {file: splits.split_of_file(self.name(file)) or "train" for file in files}
        uses, self._split_notes = splits.choose(
            dict.fromkeys(found.values()), options.validation_split
        )
        self._by_use: dict[str, list[str]] = {use: [] for use in uses.values()}
        self._unused = [file for file in files if found[file] not in uses]
        for file in files:
            if found[file] in uses:
                self._by_use[uses[found[file]]].append(file)
        self.why = [*self._split_notes]
        self._first = self._first_entries()
        rows = self._first_rows(self._first)
        self.captions = self.choose_captions(Fields(files[0], rows))
        self._label = self._label_path(Fields(files[0], rows))
        self._numbers = roles.roles_of_numbers(Fields(files[0], rows), options)
        found = {name: map(path.value, rows) for name, path in self._numbers.items()}
        self.columns = choose_columns(options.feature_columns, found, files[0])
        self.captioned = bool(self.captions)
        self._chosen = True

    @abc.abstractmethod
    def listed(self, file: str) -> list:
        """Returns an entry, or a `SkippedSample`, for each sample of an archive."""

    @abc.abstractmethod
    def key(self, entry: object) -> str:
        """Returns the key of a sample."""

    @abc.abstractmethod
    def fields(self, entry: object) -> Row:
        """Returns what a sample has besides its image, by name.

        Raises:
            image_files.ImageError: With the reason why there is nothing.
        """

    @abc.abstractmethod
    def image(self, entry: object) -> object:
        """Returns what `read` takes; None where the sample has no image."""

    def describe(self, entry: object) -> str:
        """Returns a sample's key, for a message."""
        return self.key(entry)

    def choose_captions(self, fields: Fields) -> tuple[CaptionColumn, ...]:
        """Chooses where the captions stand, on the first samples."""
        return choose_captions(fields, self._options, {"json"}, self.why)

    def sample(self, entry: object) -> Sample:
        """Returns a sample from its entry of the list."""
        key = self.key(entry)
        try:
            image = self.image(entry)
            if image is None:
                return Sample(key, None, fault="missing_image")
            row = self.fields(entry)
            captions = [text for column in self.captions for text in column.texts(row)]
        except values.NotText:
            return Sample(key, None, fault="caption_not_text")
        except image_files.ImageError as error:
            return Sample(key, None, fault=str(error))
        label = label_of(self._label.value(row), self.classes) if self._label else None
        numbers = {name: path.value(row) for name, path in self._numbers.items()}
        return Sample(key, image, tuple(captions), label, numbers=numbers)

    def understanding(self) -> list[str]:
        """See `Source`."""
        more = f", the first of {len(self._files):,}" if len(self._files) > 1 else ""
        return [f"archive: {self._files[0]}{more}", *self.why]

    def preview(self, count: int) -> tuple[list[Sample], Classes | None]:
        """See `Source`."""
        return [self.sample(entry) for entry in self._first[:count]], self.classes

    @functools.cached_property
    def _ends(self) -> dict[str, list[int]]:
        """Where the samples of each archive end, by use."""
        ends = {}
        with tqdm(desc="archives", total=len(self._files), unit="", disable=None) as bar:
            for use, files in self._by_use.items():
                counts = [len(self._listed(file)) for file in files if not bar.update()]
                ends[use] = list(itertools.accumulate(counts))
        return ends

    @property
    def counts(self) -> dict[str, int]:
        """See `Source`."""
        return {use: ends[-1] for use, ends in self._ends.items()}

    @functools.cached_property
    def rejected(self) -> collections.Counter:
        """See `Source`."""
        left_out = collections.Counter(self._given)
        for file in self._unused:
            split = splits.split_of_file(self.name(file))
            left_out[f"split_{split}"] += len(self._listed(file))
        return left_out

    @property
    def fingerprint(self) -> str:
        """See `Source`."""
        columns = self._options.caption_columns, self._options.label_column
        digest = hashlib.sha256(repr((*columns, self.classes and self.classes.names)).encode())
        for use, files in self._by_use.items():
            counts = [end - start for start, end in itertools.pairwise([0, *self._ends[use]])]
            for file, count in zip(files, counts, strict=True):
                digest.update(repr((self.name(file), count)).encode())
        digest.update(repr([column.lists for column in self.captions]).encode())
        return digest.hexdigest()[:16]

    def samples(self, split: str, start: int, stop: int) -> Iterator[Sample]:
        """See `Source`."""
        files, ends = self._by_use[split], self._ends[split]
        for index in range(bisect.bisect_right(ends, start), len(files)):
            first = ends[index - 1] if index else 0
            if first >= stop:
                return
            for entry in self._list(files[index])[max(start - first, 0) : stop - first]:
                if isinstance(entry, SkippedSample):
                    yield Sample(entry.key, None, fault=entry.reason)
                else:
                    yield self.sample(entry)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_last": ("", []), "_first": [], "_without_image": []}

    def name(self, file: str) -> str:
        """Returns what an archive is called in keys."""
        return clean_key(os.path.relpath(file, self._common))

    def _label_path(self, fields: Fields) -> Path | None:
        """Where the label stands: as the flag says, else in "cls"."""
        column = self._options.label_column
        if column == NONE or (column is None and "cls" not in fields.columns):
            return None
        reason = "--label_column" if column else "its name; --label_column=none leaves it out"
        self.why.append(f"label: {column or 'cls'!r} ({reason})")
        path = Path(column or "cls", fields.columns, "label_column", fields.file)
        found = [path.value(row) for row in fields.sample]
        names = {class_key(v) for v in found if not is_missing_label(v) and whole_number(v) is None}
        if names and self.classes is None:
            raise InputError(
                f"class_names: expected a file of the classes, since labels in {path.text!r} of "
                f"{fields.file} are names such as {listing(sorted(names)[:3])}, received none; or "
                "give --label_column=none"
            )
        return path

    def _first_entries(self) -> list:
        """The first entries that are samples; an error where there is none at all."""
        found, skipped = [], collections.Counter()
        without: list = []
        for file in itertools.chain.from_iterable(self._by_use.values()):
            for entry in self._list(file)[: SAMPLE_ROWS - len(found)]:
                if isinstance(entry, SkippedSample):
                    skipped[entry.reason] += 1
                elif self.image(entry) is None:
                    skipped["missing_image"] += 1
                    without.append(entry)
                else:
                    found.append(entry)
            if len(found) >= SAMPLE_ROWS:
                break
        self._without_image = without
        if not found:
            reasons = ", ".join(f"{reason} {count}" for reason, count in skipped.items())
            first = f", such as {self.describe(without[0])}" if without else ""
            raise InputError(
                f"source: no image in {self._files[0]}: {reasons or 'it is empty'}{first}"
            )
        return found

    def _first_rows(self, entries: list) -> list[Row]:
        rows = []
        for entry in entries:
            try:
                rows.append(self.fields(entry))
            except image_files.ImageError:  # Counted when the preparation comes to it.
                continue
        return rows

    def _list(self, file: str) -> list:
        if self._last[0] != file:
            self._last = (file, self._listed(file))
        return self._last[1]

    def _listed(self, file: str) -> list:
        try:
            return self.listed(file)
        except OSError as error:
            raise InputError(f"source: cannot read {file} ({error})") from error
