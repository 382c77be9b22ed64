"""The files of a table: one, those of a pattern, or those in a folder."""

import glob
import os
import pathlib

from xsample_tf.data.sources.formats.open_file import FORMATS
from xsample_tf.errors import InputError, listing, suggest


def find_files(where: str) -> list[str]:
    """Returns the files of a table.

    Args:
        where: A file, a pattern, or a folder of one table or of Parquet files.

    Raises:
        InputError: There is none, or a folder has several tables.
    """
    if os.path.isdir(where):
        inner = sorted(pathlib.Path(where).rglob("*"))
        found = [path for path in inner if path.is_file() and not _hidden(path, where)]
        files = [str(path) for path in found if path.suffix.lower() in FORMATS]
        parquet = [file for file in files if file.lower().endswith(".parquet")]
        if parquet or len(files) == 1:
            return parquet or files
        names = listing(os.path.relpath(file, where) for file in files)
        ending = pathlib.Path(files[0]).suffix if files else ".csv"
        depth = max((len(pathlib.Path(os.path.relpath(f, where)).parts) for f in files), default=1)
        raise InputError(
            f"source: expected one table, or Parquet files, in the folder {where}, received "
            f"{names or 'none'}; name one, or a pattern such as ",
            f"table:'{os.path.join(where, '*/' * (depth - 1))}*{ending}'",
        )
    files = [where] if os.path.isfile(where) else sorted(glob.glob(where))
    if not files:
        parent = pathlib.Path(where).parent
        near = [str(path) for path in parent.glob("*") if path.suffix.lower() in FORMATS]
        raise InputError(
            f"source: no table {where}"
            + (f"; {suggest(where, near)}" if near else f", nor any other table in {parent}")
        )
    return files


def _hidden(path: pathlib.Path, root: str) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(root).parts)
