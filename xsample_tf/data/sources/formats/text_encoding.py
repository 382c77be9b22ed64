"""The encoding of a text file, found on its beginning."""

import codecs
import io
from collections.abc import Iterator

import charset_normalizer

from xsample_tf.errors import InputError

_LOOKED_AT = 1 << 20  # Bytes at the beginning of a file.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # Before UTF-16, whose mark it begins with.
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def detect_encoding(file: str) -> tuple[str, bool]:
    """Returns the encoding of a text file, and whether that is a guess that may be wrong.

    UTF-8 is taken where the beginning is valid, or where more of it is UTF-8 than not: single bad
    bytes then arrive as surrogate escapes.
    """
    with open(file, "rb") as content:
        start = content.read(_LOOKED_AT)
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding, False
    if start[:1000].count(0) > len(start[:1000]) // 4:
        return ("utf-16-le" if start[1:2] == b"\0" else "utf-16-be"), True
    text = start.decode("utf-8", "surrogateescape")
    bad = sum("\udc80" <= letter <= "\udcff" for letter in text)
    if len(start) == _LOOKED_AT:
        bad = max(bad - 3, 0)  # A letter may be cut at the end of what was read.
    good = sum(letter > "\x7f" for letter in text) - bad
    if not bad or good > bad:
        return "utf-8", False
    found = charset_normalizer.from_bytes(start).best()
    western = _decodes(start, "cp1252")
    # The commonest one is taken wherever it can be: it differs from its neighbours in few letters.
    if western and (found is None or found.encoding.startswith(("cp125", "latin", "iso8859"))):
        return "cp1252", True
    return (found.encoding if found else "latin-1"), True


def lines(file: str, encoding: str) -> Iterator[tuple[str, int, int]]:
    """Yields each line of a text file without its end, where it begins and how long it is.

    Bytes that the encoding does not have arrive as surrogate escapes. Places are in bytes; those of
    encodings with several bytes a letter, such as UTF-16, are -1.

    Raises:
        InputError: The file is not of that encoding.
    """
    try:
        yield from _lines(file, encoding)
    except UnicodeError as error:
        raise InputError(
            f"encoding: {file} is not {encoding} ({error}); set another by --encoding"
        ) from error


def _lines(file: str, encoding: str) -> Iterator[tuple[str, int, int]]:
    if encoding.startswith(("utf-16", "utf-32")):
        with open(file, encoding=encoding, errors="replace", newline=None) as text:
            for line in text:
                yield line.removesuffix("\n"), -1, -1
        return
    decode = codecs.getdecoder("utf-8" if encoding == "utf-8-sig" else encoding)
    with open(file, "rb") as content:
        offset = len(codecs.BOM_UTF8) if content.read(3) == codecs.BOM_UTF8 else 0
        content.seek(offset)
        for raw in content:
            line = decode(raw.rstrip(b"\r\n"), "surrogateescape")[0]
            yield line, offset, len(raw)
            offset += len(raw)


def line_at(file: str, encoding: str, offset: int, size: int) -> str:
    """Returns what stands at a place that `lines` gave, or several lines in a row."""
    with open(file, "rb") as content:
        content.seek(offset)
        raw = content.read(size)
    text = raw.decode("utf-8" if encoding == "utf-8-sig" else encoding, "surrogateescape")
    return io.StringIO(text, newline=None).read().removesuffix("\n")


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
