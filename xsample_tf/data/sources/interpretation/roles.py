"""Which column of a table is the image, which are captions, label, key and split, and why."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from xsample_tf.data.feature_columns import names_of
from xsample_tf.data.sources.base import Options
from xsample_tf.data.sources.formats import Row, cells
from xsample_tf.data.sources.interpretation import splits, values
from xsample_tf.data.sources.interpretation.values import Path
from xsample_tf.errors import InputError, shorten


class Sampled(Protocol):
    """What is looked at to choose columns: a table, or the fields of an archive's members."""

    file: str
    columns: Sequence[str]
    sample: list[Row]


NONE = "none"  # What a flag says where a column must not be taken for anything.

# What people call the columns, in this order, without regard to case.
IMAGE_NAMES = ("image", "image_path", "filepath", "file_path", "file_name", "filename", "path")
IMAGE_NAMES += ("image_name", "image_file", "img", "img_path", "images", "jpg", "jpeg", "png")
IMAGE_NAMES += ("webp", "image_id")
CAPTION_NAMES = ("caption", "captions")
# Names that may mean something else: taken where only one of them is there.
OTHER_CAPTION_NAMES = ("text", "texts", "txt", "sentence", "sentences", "description")
OTHER_CAPTION_NAMES += ("descriptions", "title", "titles", "comment", "comments", "alt", "alt_text")
OTHER_CAPTION_NAMES += ("alttext", "raw", "prompt", "caption_text", "image_caption")
LABEL_NAMES = ("label", "labels", "class", "class_name", "class_label", "category", "target")
SPLIT_NAMES = ("split", "subset")
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


@dataclasses.dataclass(frozen=True)
class Roles:
    """What the columns of a table are taken for.

    Attributes:
        image: The image.
        captions: The captions; empty where there are none.
        label: The class, or None.
        key: The name of the image, or None.
        split: The split, or None.
        why: A line for each role that says what was chosen and why.
    """

    image: Path
    captions: tuple[CaptionColumn, ...]
    label: Path | None
    key: Path | None
    split: Path | None
    why: tuple[str, ...]

    def columns(self) -> list[str]:
        """Returns the columns that are read, the image's first."""
        paths = [self.image, *(caption.path for caption in self.captions)]
        paths += [path for path in (self.label, self.key, self.split) if path]
        return list(dict.fromkeys(path.column for path in paths))


def choose_roles(table: Sampled, options: Options) -> Roles:
    """Chooses the columns that the options name, else those that are usually called so.

    Args:
        table: The table, of which the first rows are looked at.
        options: The names that the user gave; `NONE` switches a role off.

    Raises:
        InputError: A named column that is not there, no image, captions that are not text, several
            columns that may be the captions, or labels that are not numbers or names.
    """
    why: list[str] = []
    image = _choose_image(table, options, why)
    split = _choose_split(table, options, why)
    label = _choose_label(table, options, why)
    key = None
    if options.key_column and options.key_column != NONE:
        key = Path(options.key_column, table.columns, "key_column", table.file)
        why.append(f"key: column {key.text!r} (--key_column)")
    taken = {path.column for path in (image, split, label, key) if path}
    captions = choose_captions(table, options, taken, why)
    return Roles(image, captions, label, key, split, tuple(why))


def roles_of_numbers(table: Sampled, options: Options) -> dict[str, Path]:
    """Returns where each feature column stands, by its name.

    Raises:
        InputError: There is no such column.
    """
    return {
        name: Path(name, table.columns, "feature_columns", table.file)
        for name in names_of(options.feature_columns)
    }


def find_named(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Returns the columns that are called one of some names, in the order of these."""
    found = {}
    for name in names:
        try:
            found[values.resolve(name, columns)] = None
        except KeyError:
            continue
    return list(found)


def _choose_image(table: Sampled, options: Options, why: list[str]) -> Path:
    if options.image_column:
        path = Path(options.image_column, table.columns, "image_column", table.file)
        why.append(f"image: column {path.text!r} (--image_column)")
        return path
    found = find_named(IMAGE_NAMES, table.columns)
    # A name of its own says less than bytes, or names of image files.
    by_content = [name for name in table.columns if _has_images(table.sample, name)]
    chosen = [name for name in found if name in by_content] or found or by_content[:2]
    if not chosen or (not found and len(by_content) > 1):
        raise InputError(
            f"image_column: no column 'image' in {table.file}; name the column of images, one of "
            f"{', '.join(map(shorten, table.columns[:20]))}"
        )
    reason = "its name" if chosen[0] in found else "the only one that names images"
    why.append(f"image: column {chosen[0]!r} ({reason}; --image_column takes another)")
    return Path(chosen[0], table.columns, "image_column", table.file)


def _has_images(sample: list[Row], name: str) -> bool:
    value = next((row[name] for row in sample if not values.is_missing(row.get(name))), None)
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, cells.LineCell | cells.ParquetCell):
        return True
    if isinstance(value, dict):
        return "path" in value or "bytes" in value
    return isinstance(value, str) and cells.looks_like_image(value.partition("#")[0])


def _choose_split(table: Sampled, options: Options, why: list[str]) -> Path | None:
    if options.split_column == NONE:
        return None
    if options.split_column:
        path = Path(options.split_column, table.columns, "split_column", table.file)
        why.append(f"split: column {path.text!r} (--split_column)")
        return path
    for name in find_named(SPLIT_NAMES, table.columns):
        found = {str(row[name]) for row in table.sample if not values.is_missing(row.get(name))}
        if found and all(splits.canonical(value) for value in found):
            why.append(f"split: column {name!r} (its name; --split_column=none leaves it out)")
            return Path(name, table.columns, "split_column", table.file)
        if found:
            shown = ", ".join(map(shorten, sorted(found)[:4]))
            why.append(f"split: none; column {name!r} has other values ({shown})")
    return None


def _choose_label(table: Sampled, options: Options, why: list[str]) -> Path | None:
    if options.label_column == NONE:
        return None
    if options.label_column:
        path = Path(options.label_column, table.columns, "label_column", table.file)
        reason = "--label_column"
    else:
        found = find_named(LABEL_NAMES, table.columns)
        if not found:
            return None
        path = Path(found[0], table.columns, "label_column", table.file)
        reason = "its name; --label_column=none leaves it out"
    for row in table.sample:
        value = path.value(row)
        if not values.is_missing(value) and isinstance(value, dict | list):
            fields = [f"{path.text}.{field}" for field in value] if isinstance(value, dict) else []
            raise InputError(
                f"label_column: expected a number or a name in {path.text!r} of {table.file}, "
                f"received {values.kind_of(value)}; "
                + (f"name a field, one of {', '.join(fields[:8])}, or " if fields else "")
                + "leave labels out with --label_column=none"
                + ("" if fields else f" --feature_columns={path.text}, which keeps the numbers")
            )
    why.append(f"label: column {path.text!r} ({reason})")
    return path


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
        why.append("captions: none; no column has text, so class names fill the template")
    return tuple(columns)


def _usual_captions(table: Sampled, taken: set[str]) -> list[str]:
    """The column of captions by its name; an error where there is text and no name says which."""
    columns = [name for name in table.columns if name not in taken]
    found = find_named(CAPTION_NAMES, columns)[:1] or find_named(OTHER_CAPTION_NAMES, columns)
    if len(found) == 1:
        return found
    texts = found or [name for name in columns if _has_text(table.sample, name)]
    if texts:
        names = ", ".join(repr(shorten(text)) for text in texts[:6])
        raise InputError(
            f"caption_column: expected to find one column of captions in {table.file}, received "
            f"{'' if found else 'text in '}{names}; name it with "
            f"--caption_column={texts[0]}, or give --caption_column=none to train without"
        )
    return []


def _has_text(sample: list[Row], name: str) -> bool:
    """Whether a column has texts of several words, at least in a tenth of its cells."""
    found = [row[name] for row in sample if not values.is_missing(row.get(name))]
    texts = [value for value in found if isinstance(value, str) and len(value.split()) > 1]
    links = [value for value in texts if value.startswith(("http://", "https://"))]
    return len(texts) - len(links) > len(found) / 10


def _caption_column(table: Sampled, name: str) -> CaptionColumn:
    """The column of that name; of dicts the only field that is called as texts are."""
    path = Path(name, table.columns, "caption_column", table.file)
    found = [value for row in table.sample for value in path.values(row)]
    found = [value for value in found if not values.is_missing(value)]
    if values.is_list_in_text(found):
        return CaptionColumn(path, lists=True)
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
    choices = ", ".join(f"--caption_column={prefix}.{field}" for field in fields[:4])
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
