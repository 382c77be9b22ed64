"""Vectors of any images by any encoder, in files that NumPy and pandas read."""

from xsample_tf.embedding.browse import project, write_browsable
from xsample_tf.embedding.embed import embed
from xsample_tf.embedding.images import Entry, FolderImages, Images, PreparedImages, SourceImages

__all__ = [
    "Entry",
    "FolderImages",
    "Images",
    "PreparedImages",
    "SourceImages",
    "embed",
    "project",
    "write_browsable",
]
