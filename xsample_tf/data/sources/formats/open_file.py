"""Opens a file of a table by the ending of its name."""

import pathlib

from xsample_tf.data.sources.formats.base import TableFile, TableStyle
from xsample_tf.data.sources.formats.delimited import Delimited
from xsample_tf.data.sources.formats.file_kinds import refuse_other_kind
from xsample_tf.data.sources.formats.json_records import open_json
from xsample_tf.data.sources.formats.parquet import Parquet
from xsample_tf.errors import InputError

FORMATS = {
    ".csv": Delimited,
    ".tsv": Delimited,
    ".tab": Delimited,
    ".txt": Delimited,
    ".json": open_json,
    ".jsonl": open_json,
    ".ndjson": open_json,
    ".parquet": Parquet,
}


def open_file(file: str, style: TableStyle | None = None) -> TableFile:
    """Opens a file of a table.

    Args:
        file: Its path.
        style: How to read delimited text, where it should not be detected.

    Raises:
        InputError: An unknown ending, or a file that cannot be read as what its ending says.

    Example:
        >>> open_file("captions.csv").columns
        ('image', 'caption')
    """
    ending = pathlib.Path(file).suffix.lower()
    refuse_other_kind(file, "a table", b"PAR1" if ending == ".parquet" else b"\0")
    if ending not in FORMATS:
        raise InputError(f"source: expected {', '.join(FORMATS)}, received {file}")
    try:
        return FORMATS[ending](file, style or TableStyle())
    except OSError as error:
        raise InputError(f"source: cannot read {file} ({error})") from error
