"""Tars as `webdataset` writes them: `webdataset:PATTERN`."""

import glob
import os
import re
from collections.abc import Iterator

from xsample_tf.data.sources.base import Classes, Options, register
from xsample_tf.data.sources.formats import ENCODING
from xsample_tf.data.sources.formats.file_kinds import refuse_other_kind
from xsample_tf.data.sources.members import CAPTION_LINES, Tars
from xsample_tf.errors import InputError


@register("webdataset", options=[CAPTION_LINES, ENCODING])
def open_webdataset(
    where: str,
    options: Options,
    classes: Classes | None,
    caption_lines: str = "auto",
    encoding: str = "",
) -> Tars:
    """Tars of KEY.jpg, KEY.txt, KEY.json and KEY.cls: webdataset:PATTERN.

    PATTERN is a name, or has `*` or `{00000..00331}` in it.

    Raises:
        InputError: no such file, a compressed one, or no image in any.
    """
    files = [file for pattern in _ranges(where) for file in sorted(glob.glob(pattern)) or [pattern]]
    absent = next((file for file in files if not os.path.isfile(file)), None)
    if absent:
        raise InputError(f"source: no file {absent}; expected tars such as webdataset:data/*.tar")
    for file in files:
        refuse_other_kind(file, "a plain tar")
    return Tars(files, options, classes, caption_lines=caption_lines, encoding=encoding)


def _ranges(pattern: str) -> Iterator[str]:
    """Yields the pattern with each number of its first range {FIRST..LAST}, and so on."""
    found = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if not found:
        yield pattern
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        filled = f"{number:0{len(first)}d}"
        yield from _ranges(pattern[: found.start()] + filled + pattern[found.end() :])
