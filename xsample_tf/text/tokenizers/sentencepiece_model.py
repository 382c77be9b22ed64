"""SentencePiece's model files: what of them a Unigram tokenizer needs, read and written.

The format is a protocol buffer (sentencepiece_model.proto). Its generated Python module asks for
another release of protobuf than TensorFlow has, so the few fields are coded here.
"""

import dataclasses
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

NORMAL, UNKNOWN, CONTROL = 1, 2, 3  # Types of a piece.
UNIGRAM = 1  # Of the trainer's model types.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SCORE_AND_TYPE = struct.Struct("<BfBB")  # Each with its key before.


class Piece(NamedTuple):  # Quicker to make than a dataclass: there may be 250,000.
    """A token, its log probability and its type."""

    text: str
    score: float
    type: int = NORMAL


@dataclasses.dataclass(frozen=True)
class Model:
    """A SentencePiece model.

    Attributes:
        pieces: In the order of their ids.
        charsmap: The compiled rules that normalize a text; empty for none.
        type: How texts are cut; `UNIGRAM` or another.
    """

    pieces: Sequence[Piece]
    charsmap: bytes = b""
    type: int = UNIGRAM


def parse(content: bytes) -> Model:
    """Returns the model of a file.

    Raises:
        ValueError: The file is damaged.

    Example:
        >>> parse(serialize(Model([Piece("<unk>", 0.0, UNKNOWN)], b""))).pieces[0].text
        '<unk>'
    """
    pieces, charsmap, kind = [], b"", UNIGRAM
    for field, value in _fields(content):
        if field == 1:
            part = dict(_fields(value))
            (score,) = struct.unpack("<f", part.get(2, bytes(4)))
            pieces.append(Piece(part.get(1, b"").decode(), score, part.get(3, NORMAL)))
        elif field == 2:
            kind = dict(_fields(value)).get(3, UNIGRAM)
        elif field == 3:
            charsmap = dict(_fields(value)).get(2, b"")
    return Model(pieces, charsmap, kind)


def serialize(model: Model) -> bytes:
    """Returns the file of a model that removes extra spaces and begins each text with one."""
    score_key, type_key = 2 << 3 | _FIXED32, 3 << 3 | _VARINT
    parts = [
        _bytes(1, _bytes(1, text.encode()) + _SCORE_AND_TYPE.pack(score_key, score, type_key, kind))
        for text, score, kind in model.pieces
    ]
    parts.append(_bytes(2, _number(3, model.type)))
    # add_dummy_prefix, remove_extra_whitespaces and escape_whitespaces.
    switches = b"".join(_number(field, 1) for field in (3, 4, 5))
    parts.append(_bytes(3, _bytes(2, model.charsmap) + switches))
    return b"".join(parts)


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yields the fields of a message: number, and value as a whole number or bytes."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, place = _varint(content, place)
            yield field, value
            continue
        if wire == _BYTES:
            length, place = _varint(content, place)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")
        if place + length > len(content):
            raise ValueError("the end is missing")
        yield field, content[place : place + length]
        place += length


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(content):
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    raise ValueError("the end is missing")


def _number(field: int, value: int) -> bytes:
    return bytes([field << 3 | _VARINT]) + _encoded(value)


def _bytes(field: int, value: bytes) -> bytes:
    return bytes([field << 3 | _BYTES]) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    """Returns a whole number as seven bits a byte, the lowest first."""
    coded = bytearray()
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    coded.append(value)
    return bytes(coded)
