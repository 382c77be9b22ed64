"""Sources of many archives (tars, folders of files, TFRecord), read one archive after the other.

Opening such a source reads what stands where, and keeps a count per archive. The samples of one
archive are listed when the preparation comes to it, and images are read from where they lie.
"""

import abc
import bisect
import collections
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Sequence

from tqdm import tqdm

from xsample_tf.data import image_files
from xsample_tf.data.sources.base import Classes, Options, Sample, clean_key
from xsample_tf.data.sources.byte_ranges import ByteRange, tar_members
from xsample_tf.data.sources.columns import CAPTION_COLUMNS, label_of, texts_of
from xsample_tf.errors import InputError

IMAGE_TYPES = ("jpg", "jpeg", "png", "webp")
DAMAGED = "archive_damaged"  # Cut in the middle, or not one at all; what stands before is used.
_TRIED = 64  # Samples that are looked at to learn whether there are captions.


@dataclasses.dataclass(frozen=True, slots=True)
class SkippedSample:
    """What stands in an archive's list in place of a sample: the reason why there is none."""

    key: str
    reason: str


class Archives(abc.ABC):
    """A `sources.Source` over archives, in their order and that of the samples within each.

    Keys begin with the archive's name, so that archives may use the same keys.

    Args:
        files: The archives.
        classes: Classes that the labels must be of.
        options: Columns.
        rejected: What was left out before, by reason.

    Raises:
        InputError: no sample in any of them.
    """

    default_resize = 256
    shuffled = False

    def __init__(
        self,
        files: Sequence[str],
        options: Options,
        classes: Classes | None,
        rejected: collections.Counter | None = None,
    ):
        self.classes = classes
        self.rejected = rejected or collections.Counter()
        self._options = options
        self._files = files
        self._common = os.path.commonpath([os.path.dirname(file) or "." for file in files])
        digest = hashlib.sha256(
            repr(
                (options.caption_columns, options.label_column, classes and classes.names)
            ).encode()
        )
        self._ends: list[int] = []
        for file in tqdm(files, desc="archives", unit="", disable=None):
            count = len(self._listed(file))
            self._ends.append(count + (self._ends[-1] if self._ends else 0))
            digest.update(repr((self.name(file), count)).encode())
        self.counts = {"all": self._ends[-1]}
        self.fingerprint = digest.hexdigest()[:16]
        self._last: tuple[str, list] = ("", [])  # The list of the archive that was read last.
        tried = list(self.samples("all", 0, min(_TRIED, self.counts["all"])))
        faults = collections.Counter(sample.fault for sample in tried)
        if not faults[""] and len(tried) == self.counts["all"]:
            found = ", ".join(f"{reason} {count}" for reason, count in faults.items())
            raise InputError(f"source: no image in {files[0]}: {found or 'it is empty'}")
        self.captioned = any(sample.captions for sample in tried)
        if options.caption_columns and faults[""] and not self.captioned:
            raise InputError(
                f"caption_column: expected {', '.join(options.caption_columns)} in the fields of "
                f"{files[0]}, received none in the first {len(tried)} images"
            )

    @abc.abstractmethod
    def listed(self, file: str) -> list:
        """Returns what `sample` takes, or `SkippedSample`s, for each sample of an archive."""

    @abc.abstractmethod
    def sample(self, entry: object) -> Sample:
        """Returns a sample from its entry of the list."""

    def samples(self, split: str, start: int, stop: int) -> Iterator[Sample]:
        """See `sources.Source`."""
        for index in range(bisect.bisect_right(self._ends, start), len(self._files)):
            first = self._ends[index - 1] if index else 0
            if first >= stop:
                return
            for entry in self._list(self._files[index])[max(start - first, 0) : stop - first]:
                if isinstance(entry, SkippedSample):
                    yield Sample(entry.key, None, fault=entry.reason)
                else:
                    yield self.sample(entry)

    def read(self, image: ByteRange | bytes) -> bytes:
        """See `sources.Source`."""
        return image if isinstance(image, bytes) else image.read()

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_last": ("", [])}

    def _list(self, file: str) -> list:
        if self._last[0] != file:
            self._last = (file, self._listed(file))
        return self._last[1]

    def _listed(self, file: str) -> list:
        try:
            return self.listed(file)
        except OSError as error:
            raise InputError(f"source: cannot read {file} ({error})") from error

    def name(self, file: str) -> str:
        """Returns what an archive is called in keys."""
        return clean_key(os.path.relpath(file, self._common))

    def label(self, fields: dict, found: object = None) -> int | None:
        """Returns the label in `--label_column` of the fields, else of the value found."""
        column = self._options.label_column
        return label_of(fields.get(column) if column else found, self.classes)

    def captions(self, fields: dict) -> tuple[str, ...]:
        """Returns the captions in `--caption_column` of the fields, else under the usual name."""
        usual = [name for name in CAPTION_COLUMNS if name in fields][:1]
        columns = self._options.caption_columns or usual
        return tuple(text for column in columns for text in texts_of(fields.get(column)))


class KeyedArchive(Archives):
    """Archives of members that belong together by name: `KEY.jpg`, `KEY.txt`, `KEY.json`.

    A member is an image (`jpg`, `jpeg`, `png`, `webp`), a caption (`txt`), a class (`cls`: a
    number, or a key of the classes) or fields (`json`). A caption is taken from the text, or
    without one from the fields; with `--caption_column` from these alone.
    """

    @abc.abstractmethod
    def members(self, file: str) -> Iterator[tuple[str, ByteRange] | SkippedSample]:
        """Yields name and place of each member, and last of all what is wrong with the archive."""

    def listed(self, file: str) -> list:
        """See `Archives`."""
        groups: dict[str, dict[str, ByteRange]] = {}
        faults = []
        for member in self.members(file):
            if isinstance(member, SkippedSample):
                faults.append(member)
                continue
            path, piece = member
            folder, name = os.path.split(path)
            stem, _, kind = name.partition(".")
            if stem:  # Else a hidden file.
                key = f"{self.name(file)}/{clean_key(os.path.join(folder, stem))}"
                kinds = groups.setdefault(key, {})
                if kind.lower() in kinds:
                    faults.append(SkippedSample(key, "duplicate_key"))
                kinds.setdefault(kind.lower(), piece)
        wanted = {*IMAGE_TYPES, "txt", "json", "cls"}
        return [group for group in groups.items() if not wanted.isdisjoint(group[1])] + faults

    def sample(self, entry: tuple[str, dict[str, ByteRange]]) -> Sample:
        """See `Archives`."""
        key, kinds = entry
        image = next((kinds[kind] for kind in IMAGE_TYPES if kind in kinds), None)
        if image is None:
            return Sample(key, None, fault="missing_image")
        try:
            return self._sample(key, image, kinds)
        except image_files.ImageError as error:
            return Sample(key, None, fault=str(error))

    def _sample(self, key: str, image: ByteRange, kinds: dict[str, ByteRange]) -> Sample:
        options = self._options
        from_text = "txt" in kinds and not options.caption_columns
        fields = {}
        if "json" in kinds and not (from_text and not options.label_column):
            try:
                fields = json.loads(_text(kinds["json"]))
            except ValueError:
                fields = None
            if not isinstance(fields, dict):
                return Sample(key, None, fault="malformed_json")
        captions = (_text(kinds["txt"]),) if from_text else self.captions(fields)
        found = _text(kinds["cls"]).strip() if "cls" in kinds else None
        return Sample(key, image, captions, self.label(fields, found))


class Tars(KeyedArchive):
    """Plain tars, as `webdataset` writes them."""

    def members(self, file: str) -> Iterator[tuple[str, ByteRange] | SkippedSample]:
        """See `KeyedArchive`."""
        for member in tar_members(file):
            yield member or SkippedSample(self.name(file), DAMAGED)


class Folders(KeyedArchive):
    """Folders of files."""

    def members(self, file: str) -> Iterator[tuple[str, ByteRange] | SkippedSample]:
        """See `KeyedArchive`."""
        for entry in sorted(os.scandir(file), key=lambda entry: entry.name):
            if entry.is_file():
                yield entry.name, ByteRange(entry.path, 0, entry.stat().st_size)


def _text(piece: ByteRange) -> str:
    return piece.read().decode("utf-8", "surrogateescape")
