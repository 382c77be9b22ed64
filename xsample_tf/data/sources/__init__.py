"""Sources of images and captions, a file for each kind."""

from xsample_tf.data.sources.base import (
    UNKNOWN_CLASS,
    Classes,
    Options,
    Sample,
    Source,
    TFRecordFiles,
    only_column,
)
from xsample_tf.data.sources.registry import KINDS, open_source

__all__ = [
    "KINDS",
    "UNKNOWN_CLASS",
    "Classes",
    "Options",
    "Sample",
    "Source",
    "TFRecordFiles",
    "only_column",
    "open_source",
]
