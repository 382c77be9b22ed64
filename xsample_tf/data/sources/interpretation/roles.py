"""Which column of a table is the image, which are captions, label, key and split, and why."""

import dataclasses
from collections.abc import Sequence

from xsample_tf.data.feature_columns import names_of
from xsample_tf.data.sources.base import Options
from xsample_tf.data.sources.formats import Row, cells
from xsample_tf.data.sources.interpretation import splits, values
from xsample_tf.data.sources.interpretation.captions import CaptionColumn, choose_captions
from xsample_tf.data.sources.interpretation.labels import (
    is_fraction,
    is_missing_label,
    whole_number,
)
from xsample_tf.data.sources.interpretation.sampled import NONE, Sampled, find_named
from xsample_tf.data.sources.interpretation.values import Path, is_link
from xsample_tf.errors import InputError, listing

# What people call the columns, in this order, without regard to case.
IMAGE_NAMES = ("image", "image_path", "filepath", "file_path", "file_name", "filename", "path")
IMAGE_NAMES += ("image_name", "image_file", "img", "img_path", "images", "jpg", "jpeg", "png")
IMAGE_NAMES += ("webp", "image_id")
LABEL_NAMES = ("label", "labels", "class", "class_name", "class_label", "category", "target")
SPLIT_NAMES = ("split", "subset")


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
    used = {*taken, *names_of(options.feature_columns)}
    used |= {caption.path.column for caption in captions}
    unused = [name for name in table.columns if name not in used]
    if not captions and not label and options.caption_columns != (NONE,):
        _require_no_words(table, unused)
    if unused:
        why.append(f"not used: {listing(unused)}")
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


def _choose_image(table: Sampled, options: Options, why: list[str]) -> Path:
    if options.image_column:
        path = Path(options.image_column, table.columns, "image_column", table.file)
        why.append(f"image: column {path.text!r} (--image_column)")
        return path
    found = find_named(IMAGE_NAMES, table.columns)
    # A name of its own says less than bytes, or names of image files.
    by_content = [name for name in table.columns if names_images(table.sample, name)]
    chosen = [name for name in found if name in by_content] or found or by_content[:2]
    if not chosen or (not found and len(by_content) > 1):
        raise InputError(
            f"image_column: no column 'image' in {table.file}; name the column of images, one of "
            f"{listing(table.columns)}"
        )
    reason = "its name" if chosen[0] in found else "the only one that names images"
    why.append(f"image: column {chosen[0]!r} ({reason}; --image_column takes another)")
    _require_images(table, chosen[0])
    return Path(chosen[0], table.columns, "image_column", table.file)


def _require_images(table: Sampled, name: str) -> None:
    """Raises `InputError` where a column has numbers: the pixels of an image, a feature vector."""
    value = next((row[name] for row in table.sample if not values.is_missing(row.get(name))), None)
    inner = value[0] if isinstance(value, list) and value else value
    if isinstance(inner, list | float) or (inner is not value and isinstance(inner, int)):
        raise InputError(
            f"image_column: expected paths or image files in {name!r} of {table.file}, received "
            f"{values.kind_of(value)}; name another column, or store image files"
        )


def _require_no_words(table: Sampled, columns: Sequence[str]) -> None:
    """Raises `InputError` where there is neither caption nor label, and a column has words."""
    words = [
        name
        for name in columns
        if any(_is_word(row.get(name)) for row in table.sample)
        and not values.are_numbers_in_text(row.get(name) for row in table.sample)
        and not names_images(table.sample, name)
        and not find_named(LABEL_NAMES, [name])  # It was switched off.
    ]
    if words:
        raise InputError(
            f"caption_column: expected captions or labels in {table.file}, received text in "
            f"{listing(words, repr)}; name it with --caption_column={words[0]} or "
            f"--label_column={words[0]}, or give --caption_column=none to train without"
        )


def _is_word(value: object) -> bool:
    """Whether a cell is text, and neither blank, a link, nor a list or dict in text."""
    return isinstance(value, str) and value.strip()[:1] not in ("", "[", "{") and not is_link(value)


def names_images(sample: list[Row], name: str) -> bool:
    """Whether the first cell of a column has an image, or a name or struct of one."""
    value = next((row[name] for row in sample if not values.is_missing(row.get(name))), None)
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, bytes | cells.LineCell | cells.ParquetCell):
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
            shown = listing(sorted(found)[:4])
            why.append(f"split: none; column {name!r} has other values ({shown})")
    named = {options.image_column, options.label_column, options.key_column}
    for name in table.columns:
        if name in {*named, *options.caption_columns, *find_named(LABEL_NAMES, [name])}:
            continue
        found = [row[name] for row in table.sample if not values.is_missing(row.get(name))]
        if found and all(isinstance(v, str) and splits.canonical(v) for v in found):
            why.append(f"split: column {name!r} (its values; --split_column=none leaves it out)")
            return Path(name, table.columns, "split_column", table.file)
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
    _require_classes(table, path)
    why.append(f"label: column {path.text!r} ({reason})")
    return path


def _require_classes(table: Sampled, path: Path) -> None:
    """Raises `InputError` where a column of labels has lists, dicts or measurements."""
    found = [path.value(row) for row in table.sample]
    found = [value for value in found if not is_missing_label(value)]
    lists = values.is_list_in_text(found)
    wrong = next((value for value in found if isinstance(value, dict | list)), None)
    if wrong is None and lists:
        wrong = values.parsed(found[0])
    expected = f"label_column: expected a number or a name in {path.text!r} of {table.file}, "
    if isinstance(wrong, dict | list):
        fields = [f"{path.text}.{field}" for field in wrong] if isinstance(wrong, dict) else []
        numbers = isinstance(wrong, list) and all(isinstance(n, int | float) for n in wrong)
        raise InputError(
            f"{expected}received {values.kind_of(wrong)}; "
            + (f"name a field, one of {listing(fields)}, or " if fields else "")
            + "leave labels out with --label_column=none"
            + (f" --feature_columns={path.text}, which keeps the numbers" if numbers else "")
        )
    numbers = [value for value in found if whole_number(value) is not None or is_fraction(value)]
    if len(numbers) == len(found) and (wrong := next(filter(is_fraction, found), None)) is not None:
        raise InputError(
            f"{expected}received the number {wrong}; keep it as a number with --label_column=none "
            f"--feature_columns={path.text}"
        )
