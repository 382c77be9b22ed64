"""Sources of images and captions, a file for each kind."""

from xsample_tf.data.sources.base import (
    SOURCES,
    UNKNOWN_CLASS,
    Classes,
    Options,
    Sample,
    SampleList,
    Source,
    TFRecordFiles,
    only_column,
    register,
)
from xsample_tf.data.sources.open_source import changed_options, open_source

__all__ = [
    "SOURCES",
    "UNKNOWN_CLASS",
    "Classes",
    "Options",
    "Sample",
    "SampleList",
    "Source",
    "TFRecordFiles",
    "changed_options",
    "only_column",
    "open_source",
    "register",
]
