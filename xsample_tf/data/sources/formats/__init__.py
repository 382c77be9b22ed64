"""Files of tables: delimited text, JSON and Parquet, read row by row."""

from xsample_tf.data.sources.formats.base import (
    ENCODING,
    SAMPLE_ROWS,
    Row,
    TableFile,
    TableStyle,
    check_encoding,
)
from xsample_tf.data.sources.formats.open_file import FORMATS, open_file

__all__ = [
    "ENCODING",
    "FORMATS",
    "SAMPLE_ROWS",
    "Row",
    "TableFile",
    "TableStyle",
    "check_encoding",
    "open_file",
]
