"""A contact sheet: query images beside their nearest neighbours."""

import os
import pathlib
import textwrap
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont, ImageOps

from xsample_tf import data
from xsample_tf.data import manifest, records
from xsample_tf.errors import InputError
from xsample_tf.evaluation.features import Embed, embedder
from xsample_tf.evaluation.neighbours import nearest

_SIDE, _GAP, _LINES, _LINE_HEIGHT = 112, 8, 4, 12
_LETTERS = 20  # That fit beside each other under an image.


def neighbour_sheet(
    encoder: keras.Model | Embed,
    data_dir: str | os.PathLike,
    path: str | os.PathLike,
    image_size: int,
    queries: int = 8,
    neighbours: int = 7,
    limit: int = 2000,
    batch_size: int = 256,
    seed: int = 0,
) -> None:
    """Writes a PNG of images of `val/`, each with its nearest other images of `val/`.

    A row is a query, framed, and its neighbours by cosine, each with its cosine and its first
    caption, or the name of its class.

    Args:
        encoder: As for `evaluate`.
        data_dir: A data directory.
        path: The PNG to write; its directory is made.
        image_size: Side of the images that the encoder gets.
        queries: Rows of the sheet.
        neighbours: Neighbours in a row.
        limit: How many images of the split are looked at; their small copies are kept in memory.
        batch_size: Images at a time.
        seed: Of the choice of queries.

    Raises:
        InputError: Fewer than two images.

    Example:
        >>> neighbour_sheet(encoder, "data/flickr8k", "neighbours.png", image_size=224)
    """
    embed = embedder(encoder)
    embeddings, thumbnails, keys = [], [], []
    for batch in data.load_images(
        str(data_dir), "val", batch_size, image_size, limit=limit
    ).as_numpy_iterator():
        embeddings.append(np.asarray(embed(tf.constant(batch["image"]))))
        thumbnails += [_thumbnail(image) for image in batch["image"]]
        keys += list(batch["key"])
    if len(keys) < 2:
        raise InputError(f"neighbours: expected 2 images or more in val of {data_dir}")
    features = np.concatenate(embeddings)
    cosines, rows = nearest(features, features, min(neighbours, len(keys) - 1), exclude_self=True)
    order = np.random.default_rng(seed).permutation(len(keys))[:queries]
    shown = {keys[row] for query in order for row in (query, *rows[query])}
    words = _captions(manifest.read_dataset(data_dir), shown)
    sheet = Sheet(len(order), 1 + rows.shape[1])
    for line, query in enumerate(order):
        sheet.paste(line, 0, thumbnails[query], words.get(keys[query], ""), "query", True)
        for place, (row, cosine) in enumerate(zip(rows[query], cosines[query], strict=True), 1):
            sheet.paste(line, place, thumbnails[row], words.get(keys[row], ""), f"{cosine:.2f}")
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    sheet.image.save(path, "PNG")


class Sheet:
    """A white grid of images with a few lines of text under each.

    Args:
        rows: Of images.
        columns: Of images.

    Attributes:
        image: What has been pasted so far.
    """

    def __init__(self, rows: int, columns: int):
        self._height = _SIDE + _GAP + _LINE_HEIGHT * _LINES
        size = (_GAP + columns * (_SIDE + _GAP), _GAP + rows * self._height)
        self.image = Image.new("RGB", size, "white")
        self._draw = ImageDraw.Draw(self.image)
        self._font = _font()

    def paste(
        self,
        row: int,
        column: int,
        picture: Image.Image,
        words: str,
        note: str,
        framed: bool = False,
    ) -> None:
        """Puts an image and its text into a cell.

        Args:
            row: From 0.
            column: From 0.
            picture: Cut to a square and brought to size.
            words: Wrapped, and cut after three lines.
            note: The line between image and words.
            framed: Whether to draw a frame around it. Defaults to False.
        """
        left, top = _GAP + column * (_SIDE + _GAP), _GAP + row * self._height
        fitted = ImageOps.fit(picture.convert("RGB"), (_SIDE, _SIDE), Image.Resampling.BICUBIC)
        self.image.paste(fitted, (left, top))
        if framed:
            frame = (left - 3, top - 3, left + _SIDE + 2, top + _SIDE + 2)
            self._draw.rectangle(frame, outline="crimson", width=3)
        lines = textwrap.wrap(words, _LETTERS, max_lines=_LINES - 1, placeholder="…")
        text = "\n".join([note, *lines])
        self._draw.text((left, top + _SIDE + 3), text, "black", self._font, spacing=1)

    def title(self, row: int, words: str) -> None:
        """Writes words in place of the first image of a row; twelve lines at most."""
        lines = textwrap.wrap(words, _LETTERS, max_lines=12, placeholder="…")
        place = _GAP, _GAP + row * self._height
        self._draw.text(place, "\n".join(lines), "black", self._font, spacing=1)


def _font() -> ImageFont.ImageFont:
    """The font that comes with matplotlib: it has the letters of most European languages."""
    from matplotlib import font_manager

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 9)


def _thumbnail(image: np.ndarray) -> Image.Image:
    pixels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)


def validation_records(dataset: manifest.Dataset) -> tf.data.Dataset:
    """Returns the parsed records of `val/`, in order.

    Behind its last record a shard that is used where it lies may end in the middle of one.
    """
    shards = dataset.splits["val"]
    paths = [os.path.join(dataset.directory, shard.path) for shard in shards]
    files = tf.data.Dataset.from_tensor_slices(
        (paths, np.array([shard.records for shard in shards], np.int64))
    )
    stream = files.flat_map(lambda path, count: tf.data.TFRecordDataset(path).take(count))
    return stream.map(lambda record: records.parse(record, dataset.features), tf.data.AUTOTUNE)


def words_of(record: Mapping[str, Any], dataset: manifest.Dataset) -> str:
    """Returns the first caption of a parsed record, else the name of its class, else ""."""
    if len(record["captions"]):
        return record["captions"][0].decode("utf-8", "replace")
    if dataset.class_names and 0 <= record["label"] < len(dataset.class_names):
        return dataset.class_names[record["label"]].replace("_", " ")
    return ""


def _captions(dataset: manifest.Dataset, keys: set[bytes]) -> dict[bytes, str]:
    """The words of each key of `val/`."""
    words = {}
    for record in validation_records(dataset).as_numpy_iterator():
        if record["key"] not in keys:
            continue
        words[record["key"]] = words_of(record, dataset)
        if len(words) == len(keys):
            break
    return words
