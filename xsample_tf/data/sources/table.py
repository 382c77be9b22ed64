"""Tables of images and captions as a source: rows to samples, labels to classes."""

import collections
import dataclasses
import glob
import os
import pathlib

import numpy as np

from xsample_tf.data.sources import table_files
from xsample_tf.data.sources.base import (
    Classes,
    FileList,
    Options,
    Sample,
    clean_key,
    permuted,
    read_file,
)
from xsample_tf.data.sources.columns import (
    CAPTION_COLUMNS,
    is_missing,
    label_of,
    texts_of,
    whole_number,
)
from xsample_tf.errors import InputError, suggest

# What people call the columns, looked for in this order when no flag names them.
_IMAGE = ("image", "image_path", "filepath", "file_name", "filename", "path", "img", "jpg", "png")
_LINK = ("url", "URL", "image_url")
_LABEL = ("label", "class", "category")


@dataclasses.dataclass(frozen=True)
class _Columns:
    image: str
    captions: tuple[str, ...]
    label: str | None
    key: str | None

    def wanted(self) -> list[str]:
        """All of them, the image first."""
        others = (*self.captions, self.label, self.key)
        return list(dict.fromkeys([self.image, *(name for name in others if name)]))


@dataclasses.dataclass
class _Record:
    image: str | table_files.Cell
    captions: list[str]
    label: object


class Table(FileList):
    """A `sources.Source` over one table or several alike.

    Rows with the same image path are one sample with several captions, and so are list-valued
    caption cells and several caption columns.

    Args:
        where: FILE.csv, .tsv, .jsonl, .parquet (UTF-8), or a pattern: `data/train-*.parquet`.
        options: Columns and `image_root`.
        classes: Classes that the labels must be of; None takes the names found.

    Raises:
        InputError: no such file, an unknown format, a file that cannot be parsed, a missing column,
            links in place of images, or no row with an image.
    """

    def __init__(self, where: str, options: Options, classes: Classes | None):
        files = _files(where)
        opened = [table_files.open_file(file) for file in files]
        _refuse_links(files[0], opened[0], options)
        columns = _choose_columns(files, opened, options)
        self._cells = table_files.ImageCells()
        self._root = options.image_root
        self._left_out = collections.Counter()
        common = os.path.commonpath([os.path.dirname(file) or "." for file in files])
        records: dict[str, _Record] = {}
        for file, table in zip(files, opened, strict=True):
            name = os.path.relpath(file, common)
            for index, row in enumerate(table.rows(columns.wanted())):
                self._add(records, file, f"{name}/{index:07d}", row, columns)
        if not records:
            raise InputError(f"source: no row with an image in {where}")
        if classes is None and columns.label:
            classes = _find_classes(records, opened[0], columns.label)
        samples = [
            Sample(key, record.image, tuple(record.captions), label_of(record.label, classes))
            for key, record in records.items()
        ]
        order = _permuted_by_row_group if _stored(samples[0]) else permuted
        super().__init__(
            {"all": order(samples, options.seed)}, classes, bool(columns.captions), self._left_out
        )

    def read(self, image: str | table_files.Cell) -> bytes:
        """See `sources.Source`."""
        if isinstance(image, str):
            return read_file(image)
        content = self._cells.read(image)
        if content is None and image.path:
            return read_file(self._path(image.file, image.path))
        return content or b""

    def _add(
        self,
        records: dict[str, _Record],
        file: str,
        key: str,
        row: table_files.Row | None,
        columns: _Columns,
    ) -> None:
        if row is None or row[columns.image] in ("", None):
            self._left_out["malformed_row"] += 1
            return
        image, label = row[columns.image], row[columns.label] if columns.label else None
        captions = [text for name in columns.captions for text in texts_of(row[name])]
        if not isinstance(image, table_files.Cell):
            key = os.path.normpath(str(image))
            image = self._path(file, str(image))
        if columns.key:
            key = str(row[columns.key])
        key = clean_key(key)
        known = records.get(key)
        if known is None:
            records[key] = _Record(image, captions, label)
        elif known.image != image or not columns.captions:
            self._left_out["duplicate_key"] += 1
        elif known.label != label:
            self._left_out["label_conflict"] += 1
        else:
            known.captions.extend(captions)

    def _path(self, file: str, path: str) -> str:
        root = os.path.dirname(file) if self._root is None else self._root
        return os.path.normpath(os.path.join(root, path))


def _files(where: str) -> list[str]:
    files = [where] if os.path.isfile(where) else sorted(glob.glob(where))
    if not files:
        parent = pathlib.Path(where).parent
        near = [str(path) for path in parent.glob("*") if path.suffix in table_files.FORMATS]
        raise InputError(
            f"source: no table {where}"
            + (f"; {suggest(where, near)}" if near else f", nor any other table in {parent}")
        )
    return files


def _refuse_links(
    file: str,
    table: table_files.Delimited | table_files.JsonLines | table_files.Parquet,
    options: Options,
) -> None:
    """Answers a list of links, as CC3M and CC12M are published, with the command to fetch them."""
    names, path, kind = table.columns, pathlib.Path(file), pathlib.Path(file).suffix
    found = next((i for i, name in enumerate(names) if _is_link(name)), None)
    links, make = file, ""
    if found is not None:  # No header line: the links begin at once.
        texts = (name for name in ("caption", *(f"column_{i}" for i in range(len(names)))))
        names = ["url" if i == found else next(texts) for i in range(len(names))]
        link, links = "url", str(path.with_name(f"{path.stem}_links{kind}"))
        header = ("\\t" if kind == ".tsv" else ",").join(names)
        make = f"(printf '{header}\\n'; cat {file}) > {links} && "
    else:
        usual = [name for name in (*_IMAGE, *_LINK) if name in names]
        link = options.image_column or next(iter(usual), None)
        if link not in names or not _is_link((next(table.rows([link]), None) or {}).get(link)):
            return
    captions = [n for n in names if n in options.caption_columns or n.lower() in CAPTION_COLUMNS]
    raise InputError(
        f"source: {file} has links, not images; fetch them with img2dataset: {make}img2dataset "
        f"--url_list={links} --input_format={kind[1:]} --url_col={link} "
        + "".join(f"--caption_col={name} " for name in captions[:1])
        + f"--output_format=webdataset --output_folder={path.stem} --image_size=256 "
        "--resize_mode=keep_ratio --resize_only_if_bigger=True --encode_quality=90 "
        "--processes_count=16 --thread_count=64 --enable_wandb=False"
        f" && python tools/prepare_data.py --source=img2dataset:{path.stem} --output=DIR"
    )


def _is_link(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _choose_columns(files: list[str], opened: list, options: Options) -> _Columns:
    """Takes the columns that the flags name, which must be in every file, else the usual ones."""
    present = opened[0].columns

    def usual(names: tuple[str, ...]) -> str | None:
        return next((name for name in names if name in present), None)

    captions = options.caption_columns or tuple(filter(None, [usual(CAPTION_COLUMNS)]))
    columns = _Columns(
        options.image_column or usual(_IMAGE) or "image",
        captions,
        options.label_column or usual(_LABEL),
        options.key_column,
    )
    flags = {columns.image: "image_column", columns.label: "label_column"}
    flags |= {columns.key: "key_column"} | dict.fromkeys(captions, "caption_column")
    for file, table in zip(files, opened, strict=True):
        for name in columns.wanted():
            if name not in table.columns:
                raise InputError(
                    f"{flags[name]}: no column {name!r} in {file}; " + suggest(name, table.columns)
                )
    return columns


def _find_classes(records: dict[str, _Record], table: object, column: str) -> Classes | None:
    """Returns the names that Parquet has, or those in the labels; None where all are numbers."""
    names = table.class_names(column) if isinstance(table, table_files.Parquet) else None
    if names is None:
        found = {record.label for record in records.values() if not is_missing(record.label)}
        if all(whole_number(label) is not None for label in found):
            return None
        names = sorted(str(label) for label in found)
    return Classes(tuple(names), tuple(clean_key(name) for name in names))


def _stored(sample: Sample) -> bool:
    return isinstance(sample.image, table_files.Cell)


def _permuted_by_row_group(samples: list[Sample], seed: int) -> list[Sample]:
    """Permutes row groups, and the rows within each: a row group is read as a whole."""
    groups = collections.defaultdict(list)
    for sample in samples:
        groups[sample.image.file, sample.image.group].append(sample)
    ordered = list(groups.values())
    generator = np.random.default_rng(seed)
    return [
        ordered[g][i]
        for g in generator.permutation(len(ordered))
        for i in generator.permutation(len(ordered[g]))
    ]
