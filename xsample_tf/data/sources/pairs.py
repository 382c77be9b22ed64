"""Image files with captions in text files of the same name, as a source: `pairs:DIR`."""

import os
import pathlib

from xsample_tf.data.sources.base import Classes, Options, clean_key, register
from xsample_tf.data.sources.formats import ENCODING
from xsample_tf.data.sources.members import CAPTION_LINES, Folders
from xsample_tf.errors import InputError
from xsample_tf.files import walk


@register("pairs", options=[CAPTION_LINES, ENCODING])
class Pairs(Folders):
    """Image files with captions in text files of the same name: pairs:DIR.

    A folder of `NAME.jpg` with `NAME.txt`, `NAME.caption` or `NAME.json`.

    Folders in it are read as well. Folders that are called as splits are are splits.

    Raises:
        InputError: No such folder, or no image in it.
    """

    default_resize = 0

    def __init__(
        self,
        where: str,
        options: Options,
        classes: Classes | None,
        caption_lines: str = "auto",
        encoding: str = "",
    ):
        if not pathlib.Path(where).is_dir():
            raise InputError(f"source: no folder {where}; expected images and texts in it")
        folders = sorted({os.path.dirname(path) for path in walk(where)})
        if not folders:
            raise InputError(f"source: expected images and texts in {where}, received no file")
        self._root = where
        super().__init__(folders, options, classes, caption_lines=caption_lines, encoding=encoding)

    def name(self, file: str) -> str:
        """See `Archives`: the folder's path in the source."""
        path = os.path.relpath(file, self._root)
        return "" if path == "." else clean_key(path)
