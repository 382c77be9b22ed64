"""A sheet of what was found: a caption, and the images nearest to it."""

import io
import os
import pathlib
from collections.abc import Sequence

from PIL import Image

from xsample_tf.data import image_files
from xsample_tf.evaluation import Sheet
from xsample_tf.files import atomic_file, writing
from xsample_tf.search.index import Found

_COLUMNS = 8


def write_sheet(
    captions: Sequence[str], found: Sequence[Sequence[Found]], path: str | os.PathLike
) -> None:
    """Writes a PNG: each caption, and right of it its images with cosine and file name.

    Args:
        captions: K texts.
        found: The images of each, as `Index.find` gives them.
        path: The PNG; its directory is made.

    Raises:
        InputError: It cannot be written.

    Example:
        >>> write_sheet(captions, index.find(captions), "found.png")
    """
    path = pathlib.Path(path)
    lines = [max(1, -(-len(images) // _COLUMNS)) for images in found]
    sheet = Sheet(sum(lines), 1 + _COLUMNS)
    for caption, images, first in zip(captions, found, _starts(lines), strict=True):
        sheet.title(first, caption)
        for place, image in enumerate(images):
            row, column = divmod(place, _COLUMNS)
            content, _ = image_files.normalize(image.path.read_bytes())
            picture = Image.open(io.BytesIO(content))
            note = f"{image.cosine:.3f}"
            sheet.paste(first + row, 1 + column, picture, image.path.name, note)
    with writing(path, setting="output"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as temporary:
            sheet.image.save(temporary, "PNG")


def _starts(lines: Sequence[int]) -> list[int]:
    """The first row of each caption."""
    return [sum(lines[:place]) for place in range(len(lines))]
