"""Arrays of structs in MATLAB's file format, version 5: as much as ImageNet's devkit needs.

The format is described in MathWorks' "MAT-File Format", Level 5.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

_MATRIX, _COMPRESSED, _UTF8 = 14, 15, 16
_TYPES = {1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8"}
_TYPES |= {12: "<i8", 13: "<u8", _UTF8: "<u1", 17: "<u2"}
_STRUCT, _CHAR = 2, 4


def structs(content: bytes, name: str, fields: Sequence[str]) -> Iterator[tuple]:
    """Yields the values of `fields`, text or a number, of each struct of the array `name`.

    Raises:
        ValueError: no such array or field, or not a file of this format.
    """
    if content[124:128] != b"\x00\x01IM":
        raise ValueError("expected a MATLAB file of version 5, little-endian")
    for kind, data in _elements(content[128:]):
        if kind == _MATRIX:
            array_class, array_name, parts = _array(data)
            if array_class == _STRUCT and array_name == name:
                yield from _structs(parts, fields)
                return
    raise ValueError(f"no array of structs {name!r}")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields type and content of the elements that stand one after the other."""
    offset = 0
    while offset + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, offset)
        if kind >> 16:  # A small element: its size stands with its type, its content follows.
            yield kind & 0xFFFF, data[offset + 4 : offset + 4 + (kind >> 16)]
            offset += 8
            continue
        content = data[offset + 8 : offset + 8 + size]
        if len(content) < size:
            raise ValueError("the file ends in the middle")
        offset += 8 + size
        if kind == _COMPRESSED:
            try:
                yield from _elements(zlib.decompress(content))
            except zlib.error as error:
                raise ValueError(str(error)) from error
        else:
            offset += -size % 8
            yield kind, content


def _array(data: bytes) -> tuple[int, str, list[tuple[int, bytes]]]:
    """Returns the class and name of an array, and the elements after these."""
    (_, flags), _, (_, name), *parts = _elements(data)
    return flags[0], name.decode("latin-1"), parts


def _structs(parts: list[tuple[int, bytes]], fields: Sequence[str]) -> Iterator[tuple]:
    (_, length), (_, joined), *values = parts
    size = int.from_bytes(length, "little")
    names = [joined[i : i + size].split(b"\0")[0].decode() for i in range(0, len(joined), size)]
    places = [names.index(field) for field in fields]  # A ValueError says which is missing.
    for start in range(0, len(values), len(names)):
        yield tuple(_value(values[start + place][1]) for place in places)


def _value(data: bytes) -> str | float:
    array_class, _, parts = _array(data)
    if not parts:
        return ""
    kind, content = parts[0]
    if array_class == _CHAR and kind == _UTF8:
        return content.decode()
    values = np.frombuffer(content, _TYPES[kind])
    return "".join(map(chr, values)) if array_class == _CHAR else float(values[0])
