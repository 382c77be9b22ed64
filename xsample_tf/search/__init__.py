"""Search for photos by text: a folder of images, a caption, the images nearest to it."""

from xsample_tf.search.index import Found, Index, index_folder
from xsample_tf.search.model import SearchModel, load
from xsample_tf.search.sheet import write_sheet

__all__ = ["Found", "Index", "SearchModel", "index_folder", "load", "write_sheet"]
