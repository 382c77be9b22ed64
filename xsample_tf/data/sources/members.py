"""Archives of members that belong together by name: `KEY.jpg`, `KEY.txt`, `KEY.json`."""

import abc
import codecs
import collections
import itertools
import json
import os
from collections.abc import Iterator

from xsample_tf.data import image_files
from xsample_tf.data.sources.archives import DAMAGED, Archives, Fields, SkippedSample
from xsample_tf.data.sources.base import clean_key
from xsample_tf.data.sources.byte_ranges import ByteRange, tar_members
from xsample_tf.data.sources.formats import Row, check_encoding
from xsample_tf.data.sources.interpretation import values
from xsample_tf.data.sources.interpretation.captions import CAPTION_NAMES, CaptionColumn
from xsample_tf.data.sources.interpretation.sampled import find_named
from xsample_tf.errors import InputError, listing
from xsample_tf.files import is_hidden
from xsample_tf.registry import Option

IMAGE_TYPES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "jfif")
IMAGE_TYPES += ("heic", "heif", "avif", "ppm")
TEXT_TYPES = ("txt", "caption", "captions", "text")
_GROUPS = (frozenset(IMAGE_TYPES), frozenset(TEXT_TYPES), frozenset({"json"}), frozenset({"cls"}))
_KNOWN = frozenset.union(*_GROUPS)
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
        encoding: Encoding of the texts. Defaults to UTF-8, or UTF-16 with a mark at its beginning.

    Raises:
        InputError: As `Archives`; texts that are not UTF-8 without an encoding.
    """

    _texts = False  # Whether captions are texts; a sample without one may have its caption in json.

    def __init__(self, *arguments, caption_lines: str = "auto", encoding: str = ""):
        check_encoding(encoding)
        self._lines, self._encoding = caption_lines, encoding
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
            if any(is_hidden(part) for part in [*folder.split("/"), name] if part.strip(".")):
                continue
            stem, kind = self.split_name(name)
            key = os.path.join(self.name(file), clean_key(os.path.join(folder, stem)))
            kinds = groups.setdefault(key, {})
            if kind.lower() in kinds:
                faults.append(SkippedSample(key, "duplicate_key"))
            kinds.setdefault(kind.lower(), place)
        samples = []
        for key, kinds in itertools.chain.from_iterable(itertools.starmap(_named, groups.items())):
            if _KNOWN.isdisjoint(kinds):
                faults.append(SkippedSample(key, "unknown_member"))
                continue
            samples.append((key, kinds))
            images = sum(kind in kinds for kind in IMAGE_TYPES)
            faults += [SkippedSample(key, "second_image")] * max(images - 1, 0)
        return samples + faults

    def split_name(self, name: str) -> tuple[str, str]:
        """Returns the key in the name of a member, and what kind of part it is."""
        stem, _, kind = name.partition(".")  # As `webdataset` does: KEY.seg.png is "seg.png".
        return stem, kind

    def key(self, entry: tuple[str, dict[str, ByteRange]]) -> str:
        """See `Archives`."""
        return entry[0]

    def describe(self, entry: tuple[str, dict[str, ByteRange]]) -> str:
        """See `Archives`: the key and the kinds of its members."""
        return f"{entry[0]} with {listing(f'.{kind}' for kind in entry[1])}"

    def image(self, entry: tuple[str, dict[str, ByteRange]]) -> ByteRange | None:
        """See `Archives`."""
        return next((entry[1][kind] for kind in IMAGE_TYPES if kind in entry[1]), None)

    def fields(self, entry: tuple[str, dict[str, ByteRange]]) -> Row:
        """See `Archives`; the fields of `json` under their names, and all of them as "json"."""
        kinds, row = entry[1], {}
        lacks_text = self._texts and set(TEXT_TYPES).isdisjoint(kinds)
        if "json" in kinds and (lacks_text or self._reads("json")):
            row["json"] = _parsed(kinds["json"], self._encoding)
            row |= row["json"]
        for kind in TEXT_TYPES:
            if kind in kinds and self._reads("texts"):
                text = _text(kinds[kind], self._encoding)
                row["texts"] = text.splitlines() if self._lines == "split" else [text]
                break
        if "texts" not in row and self._texts and "json" in kinds:
            named = find_named(CAPTION_NAMES, row)
            row["texts"] = row[named[0]] if named else []
        if "cls" in kinds and self._reads("cls"):
            row["cls"] = _text(kinds["cls"], self._encoding).strip()
        return row

    def choose_captions(self, fields: Fields) -> tuple[CaptionColumn, ...]:
        """See `Archives`."""
        texts = [row["texts"][0] for row in fields.sample if "texts" in row]
        if self._options.caption_columns or not texts:
            self._refuse_lone_texts()
            return super().choose_captions(fields)
        kinds = dict.fromkeys(kind for _, own in self._first for kind in TEXT_TYPES if kind in own)
        wrong = sum(any("\udc80" <= letter <= "\udcff" for letter in text) for text in texts)
        if wrong > len(texts) / 2:
            found = ", ".join(f".{kind}" for kind in kinds)
            raise InputError(
                f"encoding: expected UTF-8 in the {found} members of {fields.file}, "
                f"received other bytes in {wrong} of the first {len(texts)}; "
                "name their encoding, such as --encoding=cp1252"
            )
        members = f"captions: members {listing(f'.{kind}' for kind in kinds)}"
        path = values.Path("texts", ["texts"], "caption_column", "")
        self._texts = True
        if self._lines == "auto" and values.is_list_in_text(texts):
            self._lines = "join"
            self.why.append(f"{members}; their texts are lists of captions")
            path = values.Path("texts[]", ["texts"], "caption_column", "")
            return (CaptionColumn(path, lists=True),)
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
        self.why.append(members + note)
        return (CaptionColumn(path),)

    def _refuse_lone_texts(self) -> None:
        """Raises `InputError` where no image has a caption and texts have no image beside them."""
        lone = [key for key, kinds in self._without_image if not set(TEXT_TYPES).isdisjoint(kinds)]
        if lone and not self._options.caption_columns:
            raise InputError(
                f"source: expected texts with the names of images beside them, received "
                f"{len(lone):,} without one, such as {lone[0]}; put them in one folder or archive, "
                "or give --caption_column=none"
            )

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

    def split_name(self, name: str) -> tuple[str, str]:
        """See `KeyedArchive`: names of files may have dots in them, also `a.jpg.txt`."""
        stem, _, kind = name.rpartition(".")
        inner, _, image = stem.rpartition(".")
        if inner and image.lower() in IMAGE_TYPES and kind.lower() not in IMAGE_TYPES:
            return inner, kind
        return (stem, kind) if stem else (kind, "")


def _named(key: str, kinds: dict[str, ByteRange]) -> Iterator[tuple[str, dict[str, ByteRange]]]:
    """Yields a sample with its parts by their usual names, or the samples that a key stands for.

    `KEY.image.jpg` is the image where there is no `KEY.jpg` and no other such part; the same for
    texts, fields and classes. Where no part has a usual name, a key may have had dots in it.
    """
    by_type: dict[frozenset, list[str]] = {}
    for kind in kinds:
        group = next((g for g in _GROUPS if kind.rpartition(".")[2] in g), None)
        if group and kind not in _KNOWN:
            by_type.setdefault(group, []).append(kind)
    if _KNOWN.isdisjoint(kinds) and any(len(found) > 1 for found in by_type.values()):
        parts: dict[str, dict[str, ByteRange]] = {}
        for kind, place in kinds.items():
            prefix, _, last = kind.rpartition(".")
            parts.setdefault(f"{key}.{prefix}" if prefix else key, {})[last] = place
        yield from parts.items()
        return
    for group, found in by_type.items():
        if len(found) == 1 and group.isdisjoint(kinds):
            kinds = kinds | {found[0].rpartition(".")[2]: kinds[found[0]]}
    yield key, kinds


def _parsed(place: ByteRange, encoding: str) -> dict:
    try:
        fields = json.loads(_text(place, encoding))
    except ValueError:
        fields = None
    if isinstance(fields, list) and all(isinstance(text, str) for text in fields):
        return {"captions": fields}
    if not isinstance(fields, dict):
        raise image_files.ImageError("malformed_json")
    return fields


def _text(place: ByteRange, encoding: str) -> str:
    """The text of a member; bytes that its encoding does not have arrive as surrogate escapes."""
    content = place.read()
    if encoding:
        return content.decode(encoding, "surrogateescape").removeprefix("\ufeff")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    return content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
