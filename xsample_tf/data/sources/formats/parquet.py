"""Parquet files, whose images stay in the file until they are read."""

import json
from collections.abc import Iterator, Sequence

import pyarrow
import pyarrow.parquet
from pyarrow import types

from xsample_tf.data.sources.formats.base import Row, TableFile, TableStyle
from xsample_tf.data.sources.formats.cells import ParquetCell, is_base64_image
from xsample_tf.errors import InputError


class Parquet(TableFile):
    """A Parquet file; a cell of image bytes is left there as a `ParquetCell`.

    Bytes stand in a binary column, in a struct (whatever its fields are called), in a list of
    these, as a list of numbers below 256, or in base64.
    """

    image_index = 0  # Which image of a list; set by the source.

    def __init__(self, file: str, style: TableStyle):
        del style
        self.file = file
        try:
            self._parquet = pyarrow.parquet.ParquetFile(file)
        except (OSError, pyarrow.ArrowException) as error:
            raise InputError(f"source: cannot read {file} as Parquet ({error})") from error
        schema = self._parquet.schema_arrow
        self.columns = tuple(schema.names)
        self._stored = {field.name: field.type for field in schema if _holds_bytes(field.type)}
        self._stored |= {name: schema.field(name).type for name in self._in_base64(schema)}

    def __reduce__(self) -> tuple:
        return Parquet, (self.file, TableStyle())

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, Row | None]]:
        """See `TableFile`."""
        stored = [name for name in columns if name in self._stored]
        # Of an image's struct the path is read; its bytes stay where they are.
        paths = {name: _path_field(self._stored[name]) for name in stored}
        wanted = [name for name in columns if name not in stored]
        wanted += [f"{name}.{field}" for name, field in paths.items() if field]
        number = 0
        for group in range(self._parquet.num_row_groups):
            count = self._parquet.metadata.row_group(group).num_rows
            for index, row in enumerate(self._group(group, wanted, count)):
                cells = {name: row.get(name) for name in columns}
                for name, field in paths.items():
                    path = (row.get(name) or {}).get(field) if field else None
                    place = group, index, self.image_index
                    cells[name] = ParquetCell(self.file, name, *place, path)
                yield number, cells
                number += 1

    def _in_base64(self, schema: pyarrow.Schema) -> list[str]:
        """The columns of text whose first row is an image in base64."""
        texts = [f.name for f in schema if types.is_string(f.type) or types.is_large_string(f.type)]
        if not texts or not self._parquet.metadata.num_rows:
            return []
        first = next(self._parquet.iter_batches(batch_size=1, columns=texts)).to_pylist()[0]
        return [name for name, text in first.items() if text and is_base64_image(text)]

    def type_of(self, column: str) -> str:
        """Returns the type of a column, as Parquet names it."""
        return str(self._parquet.schema_arrow.field(column).type)

    def class_names(self, column: str) -> list[str] | None:
        """Returns the names of a Hugging Face ClassLabel column, which its metadata carry."""
        metadata = (self._parquet.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
        try:
            return json.loads(metadata)["info"]["features"][column]["names"]
        except (KeyError, TypeError, ValueError):
            return None

    def _group(self, group: int, columns: list[str], count: int) -> list[Row]:
        if not columns:
            return [{}] * count
        try:
            return self._parquet.read_row_group(group, columns).to_pylist()
        except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
            raise InputError(
                f"source: cannot read row group {group} of {self.file} ({error}); fetch the file "
                "again"
            ) from error


def _holds_bytes(kind: pyarrow.DataType) -> bool:
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return True
    if types.is_struct(kind):
        return any(_holds_bytes(field.type) for field in kind)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return types.is_uint8(kind.value_type) or _holds_bytes(kind.value_type)
    return False


def _path_field(kind: pyarrow.DataType) -> str | None:
    """The name of the text field of a struct, the path or name of the image; None without one."""
    if not types.is_struct(kind):
        return None
    texts = [f.name for f in kind if types.is_string(f.type) or types.is_large_string(f.type)]
    return next((name for name in texts if "path" in name.lower()), texts[0] if texts else None)
