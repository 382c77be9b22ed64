"""Rows of a stream that have the same image, found in one pass over it."""

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Sequence

from xsample_tf.data.sources.interpretation import values
from xsample_tf.data.sources.interpretation.labels import is_missing_label
from xsample_tf.errors import InputError

Facts = dict[str, object]  # The label and the numbers of a row.


@dataclasses.dataclass
class KeptRows:
    """The rows that are records, and what the others add to them.

    Attributes:
        rows: Numbers of the rows of a stream that are the first of their image.
        captions: Captions of later rows, by the number of the first.
        left_out: Rows that are left out, by reason.
        examples: Where the first of them stands, by reason.
    """

    rows: Sequence[int] = ()
    captions: dict[int, list[str]] = dataclasses.field(default_factory=dict)
    left_out: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    examples: dict[str, str] = dataclasses.field(default_factory=dict)


class RepeatedRows:
    """Tells which rows have an image that was seen before, by its key or a hash of its bytes.

    It holds a hash of 16 bytes, the label and the numbers of each image.

    Args:
        identify: Returns the key or the bytes that a row's image is known by, None of neither.
        captions: Returns the captions of a row.
        facts: Returns the label and the numbers of a row, which rows of one image have in common.
        where: The stream, for messages.

    Attributes:
        kept: What was found so far.
    """

    def __init__(
        self,
        identify: Callable[[dict], str | bytes | None],
        captions: Callable[[dict], list[str]],
        facts: Callable[[dict], Facts],
        where: str,
    ):
        self._identify, self._captions, self._facts = identify, captions, facts
        self._where = where
        self._first: dict[bytes, tuple[int, Facts]] = {}
        self.kept = KeptRows([])

    def add(self, number: int, row: dict) -> None:
        """Takes the next row.

        Raises:
            InputError: Its image has another label or other numbers in a row before.
        """
        known = self._identify(row)
        if known is None:
            self.kept.rows.append(number)
            return
        content = known if isinstance(known, bytes) else known.encode("utf-8", "replace")
        digest = hashlib.blake2b(content, digest_size=16).digest()
        facts = self._facts(row)
        first, facts_of_first = self._first.setdefault(digest, (number, facts))
        if first == number:
            self.kept.rows.append(number)
            return
        place = f"{self._where}:{number}"
        require_alike(facts_of_first, facts, f"{self._where}:{first}", place)
        try:
            self.kept.captions.setdefault(first, []).extend(self._captions(row))
        except values.NotText:
            self.kept.left_out["caption_not_text"] += 1
            self.kept.examples.setdefault("caption_not_text", place)


def require_alike(one: Facts, other: Facts, first: object, later: object) -> None:
    """Raises `InputError` where two rows of one image have other labels or numbers.

    Args:
        one: The first row's.
        other: A later row's.
        first: Where the first row stands.
        later: Where the later row stands.
    """
    for name, value in one.items():
        if value == other[name] or (is_missing_label(value) and is_missing_label(other[name])):
            continue
        step = "leave labels out with --label_column=none" if name == "label" else "mend the table"
        raise InputError(
            f"{name}: expected one value for an image, received {value!r} in {first} and "
            f"{other[name]!r} in {later}, which have the same image; {step}, or give "
            "--key_column=none, which makes each row a record"
        )
