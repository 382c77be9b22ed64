"""Which columns of a table are its captions, and the captions of a row."""

import dataclasses

from xsample_tf.data.sources.base import Options
from xsample_tf.data.sources.formats import Row
from xsample_tf.data.sources.interpretation import values
from xsample_tf.data.sources.interpretation.sampled import NONE, Sampled, find_named
from xsample_tf.data.sources.interpretation.values import Path
from xsample_tf.errors import InputError, listing, shorten

CAPTION_NAMES = ("caption", "captions")
# Names that may mean something else: taken where only one of them is there.
OTHER_CAPTION_NAMES = ("text", "texts", "txt", "sentence", "sentences", "description")
OTHER_CAPTION_NAMES += ("descriptions", "title", "titles", "comment", "comments", "alt", "alt_text")
OTHER_CAPTION_NAMES += ("alttext", "raw", "prompt", "caption_text", "image_caption")
_TEXT_FIELDS = ("raw", "text", "caption", "sentence", "value")


@dataclasses.dataclass(frozen=True)
class CaptionColumn:
    """Where captions stand.

    Attributes:
        path: The column or field.
        lists: Whether its texts hold lists of captions.
    """

    path: Path
    lists: bool = False

    def texts(self, row: Row) -> list[str]:
        """Returns the captions of a row.

        Raises:
            values.NotText: A value that is not text.
        """
        found = self.path.values(row)
        if self.lists:
            found = [values.parsed(v) if isinstance(v, str) else v for v in found]
        return [text for value in found for text in values.texts_of(value)]


def choose_captions(
    table: Sampled, options: Options, taken: set[str], why: list[str]
) -> tuple[CaptionColumn, ...]:
    """Chooses the columns of captions: those named, else the one whose name says so.

    Args:
        table: Its first rows are looked at.
        options: `caption_columns`.
        taken: Columns that have another role.
        why: Receives a line for each column.

    Raises:
        InputError: No such column, one that is not text, or several that may be the captions.
    """
    if options.caption_columns == (NONE,):
        why.append("captions: none (--caption_column=none)")
        return ()
    if options.caption_columns:
        names, reason = options.caption_columns, "--caption_column"
    else:
        names, reason = _usual_captions(table, taken), "its name; --caption_column takes another"
    columns = []
    for name in names:
        column = _caption_column(table, name)
        form = "; its texts are lists of captions" if column.lists else ""
        why.append(f"captions: column {column.path.text!r} ({reason}{form})")
        columns.append(column)
    if not columns:
        why.append("captions: none; no column has text")
    return tuple(columns)


def _usual_captions(table: Sampled, taken: set[str]) -> list[str]:
    """The column of captions by its name; an error where there is text and no name says which."""
    columns = [name for name in table.columns if name not in taken]
    found = find_named(CAPTION_NAMES, columns)[:1] or find_named(OTHER_CAPTION_NAMES, columns)
    if len(found) == 1:
        return found
    texts = found or [path for name in columns if (path := _text_in(table.sample, name))]
    if texts:
        raise InputError(
            f"caption_column: expected to find one column of captions in {table.file}, received "
            f"{'' if found else 'text in '}{listing(texts, repr)}; name it with "
            f"--caption_column={texts[0]}, or give --caption_column=none to train without"
        )
    return []


def _text_in(sample: list[Row], name: str) -> str | None:
    """The path to texts of several words in at least a tenth of a column's cells, else None."""
    found = [row[name] for row in sample if not values.is_missing(row.get(name))]
    paths = [path for value in found if (path := values.path_to_text(value)) is not None]
    return name + paths[0] if len(paths) > len(found) / 10 else None


def _caption_column(table: Sampled, name: str) -> CaptionColumn:
    """The column of that name; of dicts the only field that is called as texts are."""
    path = Path(name, table.columns, "caption_column", table.file)
    found = [value for row in table.sample for value in path.values(row)]
    found = [value for value in found if not values.is_missing(value)]
    if values.is_list_in_text(found):
        return CaptionColumn(path, lists=True)
    if values.are_numbers_in_text(found):
        raise InputError(
            f"caption_column: expected text in {name!r} of {table.file}, received numbers such as "
            f"{shorten(found[0])}; name another, or give --caption_column=none"
        )
    wrong = next((value for value in found if not _is_text(value)), None)
    if wrong is None:
        return CaptionColumn(path)
    inner = wrong[0] if isinstance(wrong, list) and wrong else wrong
    prefix = f"{name}[]" if isinstance(wrong, list) else name
    fields = [str(field) for field in inner] if isinstance(inner, dict) else []
    usual = [field for field in _TEXT_FIELDS if field in fields]
    if len(usual) == 1:
        return _caption_column(table, f"{prefix}.{usual[0]}")
    fields = [field for field in fields if field == shorten(field)]  # Names, not data.
    choices = listing(f"--caption_column={prefix}.{field}" for field in fields[:4])
    raise InputError(
        f"caption_column: expected text in {name!r} of {table.file}, received "
        f"{values.kind_of(wrong)}; " + (f"name a field: {choices}" if fields else "name another")
    )


def _is_text(value: object) -> bool:
    try:
        values.texts_of(value)
    except values.NotText:
        return False
    return True
