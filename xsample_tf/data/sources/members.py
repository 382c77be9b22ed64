"""Archives of members that belong together by name: `KEY.jpg`, `KEY.txt`, `KEY.json`."""

import abc
import collections
import json
import os
from collections.abc import Iterator

from xsample_tf.data import image_files
from xsample_tf.data.sources.archives import DAMAGED, Archives, Fields, SkippedSample
from xsample_tf.data.sources.base import clean_key
from xsample_tf.data.sources.byte_ranges import ByteRange, tar_members
from xsample_tf.data.sources.formats import Row
from xsample_tf.data.sources.interpretation import roles, values
from xsample_tf.registry import Option

IMAGE_TYPES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "jfif")
IMAGE_TYPES += ("heic", "heif", "avif", "ppm")
TEXT_TYPES = ("txt", "caption", "captions", "text")
LINES = ("auto", "split", "join")
CAPTION_LINES = Option(
    "caption_lines",
    "auto",
    "What the lines of a text file are: split, a caption each; join, one caption; auto splits "
    "where the first texts all have the same number of lines, more than one.",
    choices=LINES,
)


class KeyedArchive(Archives):
    """Archives of members that belong together by name.

    A member is an image, a text of captions (`txt`, `caption`, `text`), a class (`cls`: a number,
    or a key of the classes) or fields (`json`). Captions are taken from the text, or without one
    from the fields; with `--caption_column` from these alone.

    Args:
        *arguments: See `Archives`.
        caption_lines: What the lines of a text are: "split", a caption each; "join", one caption;
            "auto" splits where the first texts all have the same number of lines, more than one.
    """

    _texts = False  # Whether captions are texts; a sample without one may have its caption in json.

    def __init__(self, *arguments, caption_lines: str = "auto"):
        self._lines = caption_lines
        super().__init__(*arguments)

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
            path, place = member
            folder, name = os.path.split(os.path.normpath(path))
            stem, _, kind = name.partition(".")
            if not stem or _is_hidden(folder):
                continue  # A hidden file.
            key = os.path.join(self.name(file), clean_key(os.path.join(folder, stem)))
            kinds = groups.setdefault(key, {})
            if kind.lower() in kinds:
                faults.append(SkippedSample(key, "duplicate_key"))
            kinds.setdefault(kind.lower(), place)
        known = {*IMAGE_TYPES, *TEXT_TYPES, "json", "cls"}
        samples = []
        for key, kinds in groups.items():
            if known.isdisjoint(kinds):
                faults.append(SkippedSample(key, "unknown_member"))
                continue
            samples.append((key, kinds))
            images = sum(kind in kinds for kind in IMAGE_TYPES)
            faults += [SkippedSample(key, "second_image")] * max(images - 1, 0)
        return samples + faults

    def key(self, entry: tuple[str, dict[str, ByteRange]]) -> str:
        """See `Archives`."""
        return entry[0]

    def image(self, entry: tuple[str, dict[str, ByteRange]]) -> ByteRange | None:
        """See `Archives`."""
        return next((entry[1][kind] for kind in IMAGE_TYPES if kind in entry[1]), None)

    def fields(self, entry: tuple[str, dict[str, ByteRange]]) -> Row:
        """See `Archives`; the fields of `json` under their names, and all of them as "json"."""
        kinds, row = entry[1], {}
        lacks_text = self._texts and set(TEXT_TYPES).isdisjoint(kinds)
        if "json" in kinds and (lacks_text or self._reads("json")):
            row["json"] = _parsed(kinds["json"])
            row |= row["json"]
        for kind in TEXT_TYPES:
            if kind in kinds and self._reads("texts"):
                text = _text(kinds[kind])
                row["texts"] = text.splitlines() if self._lines == "split" else [text]
                break
        if "texts" not in row and self._texts and "json" in kinds:
            named = roles.find_named(roles.CAPTION_NAMES, row)
            row["texts"] = row[named[0]] if named else []
        if "cls" in kinds and self._reads("cls"):
            row["cls"] = _text(kinds["cls"]).strip()
        return row

    def choose_captions(self, fields: Fields) -> tuple[roles.CaptionColumn, ...]:
        """See `Archives`."""
        texts = [row["texts"][0] for row in fields.sample if "texts" in row]
        if self._options.caption_columns or not texts:
            return super().choose_captions(fields)
        counts = collections.Counter(
            len([line for line in text.splitlines() if line.strip()])
            for text in texts
            if text.strip()
        )
        note = ""
        if self._lines == "auto":
            several = len(counts) == 1 and min(counts) > 1
            self._lines = "split" if several else "join"
            if several:
                note = f", {min(counts)} lines each, a caption a line (--caption_lines=join: one)"
            elif len(counts) > 1:
                note = ", its lines are one caption (--caption_lines=split: a caption a line)"
        elif self._lines == "split":
            note = ", a caption a line (--caption_lines)"
        self._texts = True
        self.why.append(f"captions: members .txt{note}")
        return (roles.CaptionColumn(values.Path("texts", ["texts"], "caption_column", "")),)

    def _reads(self, part: str) -> bool:
        """Whether a part is read: all are until the columns are chosen, then only what is used."""
        if not self._chosen:
            return True
        paths = [column.path for column in self.captions] + ([self._label] if self._label else [])
        paths += self._numbers.values()
        used = {path.column for path in paths}
        return part in used if part != "json" else bool(used - {"texts", "cls"})


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


def _is_hidden(folder: str) -> bool:
    return any(part.startswith(".") and part != ".." for part in folder.split("/"))


def _parsed(place: ByteRange) -> dict:
    try:
        fields = json.loads(_text(place))
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise image_files.ImageError("malformed_json")
    return fields


def _text(place: ByteRange) -> str:
    """The text of a member; the mark that some editors put before UTF-8 is no part of it."""
    return place.read().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
