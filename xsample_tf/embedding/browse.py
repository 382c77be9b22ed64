"""One Parquet file of images with neighbours and a 2-D map, for browsers of embeddings."""

import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import tensorflow as tf

from xsample_tf import devices, files
from xsample_tf.arrays import unit_rows
from xsample_tf.data.views import Evaluation
from xsample_tf.embedding.images import Images
from xsample_tf.embedding.shards import BROWSE, KEYS, read_rows
from xsample_tf.embedding.stream import Block, Stream
from xsample_tf.errors import InputError
from xsample_tf.evaluation import nearest
from xsample_tf.progress import Progress

NEIGHBOURS = 10
_SIDE, _QUALITY, _BATCH = 128, 85, 64
_COMPONENTS = 50  # Principal components that t-SNE starts from.
_PERPLEXITY = 30
_ROWS_PER_THREAD = 10_000


def write_browsable(
    directory: str | os.PathLike,
    described: dict,
    images: Images,
    limit: int,
    log: Callable[[str], None] = print,
) -> pathlib.Path:
    """Writes `browse.parquet` beside vectors: what Embedding Atlas, Spotlight and pandas show.

    A row is an image: "row" of its vector, "key", "split", "path", "label", "class", "caption" (all
    of them, a line each), "image" (JPEG bytes of 128 x 128 pixels), "neighbors" ("ids", rows of
    this file from 0, and "distances", 1 - cosine), "projection_x" and "projection_y".

    Args:
        directory: What `embed` wrote.
        described: What it returned.
        images: The images that were embedded.
        limit: At most so many of them, at equal distances.
        log: Receives lines on how far it is. Defaults to `print`.

    Returns:
        The file.

    Raises:
        InputError: Fewer than two images, or the file cannot be written.
    """
    directory = pathlib.Path(directory)
    if limit < 2 or described["rows"] < 2:
        raise InputError(
            f"browse: expected 2 images or more, received {min(limit, described['rows'])}"
        )
    count = min(limit, described["rows"])
    rows = np.linspace(0, described["rows"] - 1, count).round().astype(np.int64)
    keys = pyarrow.parquet.read_table(directory / KEYS).take(rows)
    vectors = unit_rows(read_rows(directory, described, rows))
    cosines, ids = nearest(vectors, vectors, min(NEIGHBOURS, count - 1), exclude_self=True)
    plane = project(vectors, log)
    places = list(zip(keys["split"].to_pylist(), keys["position"].to_pylist(), strict=True))
    thumbnails = _thumbnails(images, places, log)
    captions = ["\n".join(texts) or None for texts in keys["captions"].to_pylist()]
    neighbours = [
        {"ids": near, "distances": distances}
        for near, distances in zip(ids.tolist(), (1 - cosines).tolist(), strict=True)
    ]
    table = pa.table(
        {
            **{name: keys[name] for name in ("row", "key", "split", "path", "label", "class")},
            "caption": pa.array(captions, pa.string()),
            "image": pa.array(thumbnails, pa.binary()),
            "neighbors": pa.array(neighbours),
            "projection_x": plane[:, 0],
            "projection_y": plane[:, 1],
        }
    )
    path = directory / BROWSE
    with files.writing(path, setting="output"), files.atomic_file(path) as temporary:
        pyarrow.parquet.write_table(table, temporary)
    log(f"{'written':<24}{count:>12,} images with neighbours and a map, in {path}")
    return path


def project(vectors: np.ndarray, log: Callable[[str], None] = print) -> np.ndarray:
    """Returns a map of vectors in which neighbours stay near each other.

    It is scikit-learn's t-SNE; without scikit-learn it is the first two principal components, in
    which far ones may lie on each other.

    Args:
        vectors: Float `[N, D]`, of unit length.
        log: Receives which of the two it is. Defaults to `print`.

    Returns:
        Float32 `[N, 2]`.
    """
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    components = centred @ axes[:, ::-1][:, :_COMPONENTS]
    if components.shape[1] < 2:
        components = np.pad(components, ((0, 0), (0, 1)))
    try:
        import threadpoolctl  # Comes with scikit-learn.
        from sklearn.manifold import TSNE
    except ImportError:
        log(
            "the map is that of two principal components; t-SNE needs scikit-learn: pip install "
            "'xsample_tf[browse]'"
        )
        return components[:, :2].astype(np.float32)
    log(f"the map is t-SNE of {len(vectors):,} vectors, which takes its time")
    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    # Of few vectors, threads wait for each other more than they work.
    threads = min(devices.cores(), 1 + len(vectors) // _ROWS_PER_THREAD)
    with threadpoolctl.threadpool_limits(threads, "openmp"):
        return TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(components)


def _thumbnails(
    images: Images, places: Sequence[tuple[str, int]], log: Callable[[str], None]
) -> list[bytes | None]:
    """JPEG files of the images at positions of splits; None for one that has gone since."""
    view, found, ends = Evaluation(_SIDE), {}, {}
    for split, position in places:
        ends[split] = max(ends.get(split, 0), position + 1)
    blocks = [Block(number, split, 0, end) for number, (split, end) in enumerate(ends.items())]

    def make(image: tf.Tensor) -> tf.Tensor:
        pixels = tf.cast(tf.round(view(image)[0] * 255), tf.uint8)
        return tf.ensure_shape(tf.io.encode_jpeg(pixels, quality=_QUALITY), [])

    with Progress("thumbnails", len(places), "images", log) as progress:
        for batch in Stream(images, blocks, make, min(_BATCH, len(places)), set(places)):
            jpegs = batch.made.numpy().tolist()
            for placed, jpeg in zip(batch.rows, jpegs, strict=False):
                found[placed.block.split, placed.position] = jpeg
            progress.advance(len(batch.rows))
    return [found.get(place) for place in places]
