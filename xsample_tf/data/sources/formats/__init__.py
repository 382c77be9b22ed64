"""Files of tables: delimited text, JSON and Parquet, read row by row."""

from xsample_tf.data.sources.formats.base import SAMPLE_ROWS, Row, TableFile, TableStyle
from xsample_tf.data.sources.formats.open_file import FORMATS, open_file

__all__ = ["FORMATS", "SAMPLE_ROWS", "Row", "TableFile", "TableStyle", "open_file"]
