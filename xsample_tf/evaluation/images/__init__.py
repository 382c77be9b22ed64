"""Images that tasks read from where a data set lies, rather than from a data directory."""

from xsample_tf.evaluation.images.counts import ALLOW_PARTIAL, check_count
from xsample_tf.evaluation.images.embedded import as_they_are, embed_list, embed_split
from xsample_tf.evaluation.images.image_list import ImageList, from_paths, is_image, read_list
from xsample_tf.evaluation.images.karpathy import read_karpathy

__all__ = [
    "ALLOW_PARTIAL",
    "ImageList",
    "as_they_are",
    "check_count",
    "embed_list",
    "embed_split",
    "from_paths",
    "is_image",
    "read_karpathy",
    "read_list",
]
