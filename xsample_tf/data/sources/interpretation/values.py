"""Values in the cells of tables and the fields of JSON: paths to them, and the texts in them."""

import ast
import io
import itertools
import json
import math
import re
import tokenize
from collections.abc import Iterable, Sequence

from xsample_tf.errors import InputError, listing, shorten, suggest

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_STEP = re.compile(r"\[(\d*)\]|\.?([^.\[\]]+)")


# What programs write for a text that is not there, when they write tables of text.
_NO_TEXT = frozenset(
    ("nan", "NaN", "-nan", "-NaN", "None", "null", "NULL", "N/A", "n/a", "#N/A", "NA", "<NA>")
)


class NotText(Exception):
    """A value that is not text; `str(error)` says what it is."""


def resolve(name: str, columns: Iterable[str]) -> str:
    """Returns the column that a name means: the same, or without regard to case and outer spaces.

    Raises:
        KeyError: There is none.
    """
    columns = list(columns)
    if name in columns:
        return name
    wanted = name.strip().lower()
    found = [column for column in columns if column.strip().lower() == wanted]
    if not found:
        raise KeyError(name)
    return found[0]


class Path:
    """Where a value stands in a row: a column, or a field in one, such as `sentences[].raw`.

    `a.b` is field b of the dict in column a, `a[]` are all items of the list in it, `a[0]` is the
    first. A column that is called so itself comes first.

    Args:
        text: The path.
        columns: The columns of the table.
        flag: Name of the flag that gave it, for the error.
        where: The file, for the error.

    Raises:
        InputError: There is no such column.

    Example:
        >>> Path("sentences[].raw", ["sentences"], "caption_column", "t.json").values(row)
        ['a dog', 'a brown dog']
    """

    def __init__(self, text: str, columns: Sequence[str], flag: str, where: str):
        self.text, self._steps = text, []
        try:
            self.column = resolve(text, columns)
            return
        except KeyError:
            pass
        parts = _STEP.findall(text)
        try:
            self.column = resolve(parts[0][1] if parts else text, columns)
        except KeyError:
            raise InputError(
                f"{flag}: no column {shorten(text)!r} in {where}; {suggest(text, columns)}"
            ) from None
        self._steps = [
            field if field else (int(index) if index else None) for index, field in parts[1:]
        ]

    def values(self, row: dict[str, object]) -> list[object]:
        """Returns the values in a row: one for a plain column, none where a field is missing."""
        found = [row.get(self.column)]
        for step in self._steps:
            found = [inner for value in found for inner in _inside(value, step)]
        return found

    def value(self, row: dict[str, object]) -> object:
        """Returns the first value in a row, or None."""
        return next(iter(self.values(row)), None)


def _inside(value: object, step: str | int | None) -> list[object]:
    if isinstance(value, str) and value[:1] in ("{", "["):
        value = parsed(value)
    if isinstance(step, str):
        return [value[step]] if isinstance(value, dict) and step in value else []
    items = value if isinstance(value, list) else []
    return items if step is None else items[step : step + 1]


def parsed(text: str) -> object:
    """Returns the value that a text holds as JSON or as Python writes it, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        value = ast.literal_eval(text)
        return _as_numpy_writes(text) if isinstance(value, list) else value
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _as_numpy_writes(text: str) -> list:
    """The list in a text; NumPy writes `['a' 'b']`, which Python reads as one string."""
    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type in (tokenize.STRING, tokenize.OP, tokenize.NUMBER, tokenize.NAME)
    ]
    pairs = itertools.pairwise(token.type for token in tokens)
    strings = [ast.literal_eval(t.string) for t in tokens if t.type == tokenize.STRING]
    if (tokenize.STRING, tokenize.STRING) in pairs and len(strings) == len(tokens) - 2:
        return strings
    return ast.literal_eval(text)


def is_missing(value: object) -> bool:
    """Whether a value stands for nothing: None, "", blanks or NaN."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def texts_of(value: object) -> list[str]:
    """Returns the texts in a value: a text, a list of texts, or none where it is None or NaN.

    A blank text is returned: it is counted as an empty caption. "NaN", "None", "null" and the like
    are what programs write for none.

    Raises:
        NotText: A number, a dict, or a list of these.
    """
    if isinstance(value, str):
        return [] if value.strip() in _NO_TEXT else [value]
    if is_missing(value):
        return []
    if isinstance(value, bytes):
        return [value.decode("utf-8", "surrogateescape")]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _text_of_item(item)]
    raise NotText(kind_of(value))


def _text_of_item(item: object) -> list[str]:
    if isinstance(item, list | tuple | dict):
        raise NotText(f"list of {kind_of(item)}")
    return texts_of(item)


def kind_of(value: object) -> str:
    """Returns what a value is, in words: "a number", "a dict of raw, tokens"."""
    if isinstance(value, dict):
        return f"a dict of {listing(value)}"
    if isinstance(value, list | tuple):
        return f"a list of {kind_of(value[0])}" if value else "an empty list"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "nothing" if value is None else "bytes"


def is_link(value: object) -> bool:
    """Whether a value is a link to the web."""
    return isinstance(value, str) and value.strip().startswith(("http://", "https://"))


def path_to_text(value: object) -> str | None:
    """Returns the path behind a column's name to a text of several words, None without one.

    Example:
        >>> path_to_text([{"from": "human", "value": "two dogs on grass"}])
        '[].value'
    """
    if isinstance(value, str) and value[:1] in ("[", "{"):
        value = parsed(value)
    if isinstance(value, str):
        return "" if len(value.split()) > 1 and not is_link(value) else None
    steps: list[tuple[str, object]] = []
    if isinstance(value, dict):
        steps = [(f".{name}", inner) for name, inner in value.items()]
    elif isinstance(value, list):
        steps = [("[]", inner) for inner in value[:1]]
    for step, inner in steps:
        path = path_to_text(inner)
        if path is not None:
            return step + path
    return None


def are_numbers_in_text(values: Iterable[object]) -> bool:
    """Whether all texts that are not empty are numbers."""
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    return bool(texts) and all(_NUMBER.fullmatch(text.strip()) for text in texts)


def is_list_in_text(values: Iterable[object]) -> bool:
    """Whether all texts that are not empty hold lists of texts, as JSON or Python writes them."""
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    return bool(texts) and all(_is_list_of_texts(text) for text in texts)


def _is_list_of_texts(text: str) -> bool:
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return False
    value = parsed(text)
    return isinstance(value, list) and all(
        isinstance(item, str) or is_missing(item) for item in value
    )
