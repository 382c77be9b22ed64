"""Small copies and words of single images of `val/`, found by their hashes."""

import dataclasses
from collections.abc import Collection

import numpy as np
import tensorflow as tf

from xsample_tf import pages
from xsample_tf.data.manifest import Dataset
from xsample_tf.data.views import Evaluation
from xsample_tf.data.views.decode import decode_image
from xsample_tf.evaluation.features import hashes_of
from xsample_tf.evaluation.neighbour_sheet import validation_records, words_of

SIDE = 112  # Pixels of a picture.
_QUALITY = 80
_LONGEST = 160  # Characters of a caption that are shown.


@dataclasses.dataclass(frozen=True)
class Shown:
    """An image as the page has it.

    Attributes:
        words: Its first caption, else the name of its class, else its key.
        address: The picture itself, for `src`; "" where it was not asked for.
    """

    words: str
    address: str = ""


def look_up(
    dataset: Dataset, named: Collection[int], pictured: Collection[int]
) -> dict[int, Shown]:
    """Reads `val/` once.

    Args:
        dataset: A data directory.
        named: Hashes of the images whose words are wanted.
        pictured: Hashes of those whose pictures are wanted too.

    Returns:
        What was found, by hash.
    """
    stream = validation_records(dataset)
    pictured = {int(one) for one in pictured}
    wanted = {int(one) for one in named} | pictured
    view, found = Evaluation(SIDE), {}
    for record in stream.prefetch(tf.data.AUTOTUNE).as_numpy_iterator():
        key = int(hashes_of([record["key"]])[0])
        if key not in wanted:
            continue
        words = words_of(record, dataset) or record["key"].decode("utf-8", "replace")
        words = words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"
        address = pages.picture(_small(record["image"], view)) if key in pictured else ""
        found[key] = Shown(words, address)
        if len(found) == len(wanted):
            break
    return found


def _small(content: bytes, view: Evaluation) -> bytes:
    """The JPEG of an image file in the evaluation view."""
    pixels = np.round(view(decode_image(tf.constant(content)))[0].numpy() * 255).astype(np.uint8)
    return tf.io.encode_jpeg(pixels, quality=_QUALITY).numpy()
