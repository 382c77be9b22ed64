"""Vectors of any images by any encoder, written in shards, so that a killed run goes on."""

import collections
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import tensorflow as tf

from xsample_tf import files
from xsample_tf.data.views import Evaluation
from xsample_tf.embedding.images import Images
from xsample_tf.embedding.shards import LEFT_OUT, VectorDirectory
from xsample_tf.embedding.stream import Block, Placed, Stream
from xsample_tf.errors import InputError
from xsample_tf.export import Exported
from xsample_tf.progress import Progress
from xsample_tf.version import __version__

NOT_FINITE = "vector_not_finite"  # The reason of images whose vector is NaN or infinite.


def embed(
    encoder: Exported,
    images: Images,
    output: str | os.PathLike,
    image_size: int,
    *,
    batch_size: int = 256,
    dtype: Literal["float32", "float16"] = "float32",
    limit: int | None = None,
    rows_per_shard: int = 4096,
    overwrite: bool = False,
    log: Callable[[str], None] = print,
) -> dict:
    """Writes the vectors of images, and the key of each.

    The same arguments on an unfinished output continue it after the last whole shard; on a finished
    one they return at once. Images are seen as evaluation sees them. In `output` are:

    - `vectors/00000.npy` and so on, `[n, D]`, whose rows one after the other are the rows of
    - `keys.parquet`: "row", "key", "split" ("all" where there are none), "position" in the source's
      order, "path" of the file where it is one, "label" and "class" where known, "captions";
    - `left_out.csv`: split, key, place and reason of each image that has no vector;
    - `embeddings.json`: how the vectors were made, their number and length, the shards.

    Args:
        encoder: As `export.load` gives it.
        images: `FolderImages`, `SourceImages` or `PreparedImages`.
        output: The directory; new, empty, or written by this function.
        image_size: Side of the images that the encoder gets, in pixels.
        batch_size: Images that the encoder gets at a time. Defaults to 256.
        dtype: Of the vectors in the files. Defaults to "float32".
        limit: At most so many images of each split, the first ones. Defaults to None: all.
        rows_per_shard: Images whose vectors are in one shard, at most. Defaults to 4,096.
        overwrite: Deletes what was written to `output` with other arguments.
        log: Receives lines on how far it is. Defaults to `print`.

    Returns:
        The content of `embeddings.json`.

    Raises:
        InputError: No image that can be used, an encoder that does not give vectors or none that
            are finite, or an output that holds something else.

    Example:
        >>> embed(load("runs/first"), FolderImages("photos"), "vectors", 224)["rows"]
        8091
    """
    _check(dtype, batch_size, rows_per_shard, limit)
    output = pathlib.Path(output)
    counts = {split: min(count, limit or count) for split, count in images.counts.items()}
    configuration = {
        "weights": files.digest(encoder.saved_model)[:16],
        "call": str(encoder.model),
        "image_size": image_size,
        **images.settings,
        "images": counts,
        "dtype": dtype,
        "rows_per_shard": rows_per_shard,
    }
    with files.writing(output, setting="output"):
        directory = VectorDirectory(output, configuration, overwrite)
        described = directory.description()
        if described is not None:
            log(f"{described['rows']:,} vectors are in {output} already")
            return described
        blocks = _blocks(counts, rows_per_shard)
        left = [block for block in blocks if not directory.is_done(block)]
        if len(left) < len(blocks):
            done = len(blocks) - len(left)
            log(f"{done:,} of {len(blocks):,} shards are in {output} already")
        _embed(encoder, images, left, directory, image_size, batch_size, dtype, log)
        described = directory.finish(
            blocks,
            images,
            {
                "version": __version__,
                "model": str(encoder.saved_model),
                "view": "shorter side to image_size / 0.875, then the centre",
                **configuration,
            },
        )
    _log_result(described, output, log)
    return described


def _embed(
    encoder: Exported,
    images: Images,
    blocks: Sequence[Block],
    directory: VectorDirectory,
    image_size: int,
    batch_size: int,
    dtype: str,
    log: Callable[[str], None],
) -> None:
    """Writes the shards of blocks, in order."""
    total = sum(block.stop - block.start for block in blocks)
    if not total:
        return
    view = Evaluation(image_size)

    def make(image: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(view(image)[0], [image_size, image_size, 3])

    stream = Stream(images, blocks, make, min(batch_size, total))
    writer = _Writer(directory, blocks, dtype)
    ahead = None
    with Progress("vectors", total, "images", log) as progress:
        for batch in stream:
            # A GPU computes while the vectors of the batch before are fetched and written.
            vectors = encoder(batch.made)
            if ahead is not None:
                progress.advance(writer.add(*ahead))
            ahead = vectors, batch.rows, batch.left_out
        if ahead is not None:
            progress.advance(writer.add(*ahead))
        progress.advance(writer.leave_out(stream.rest))
        writer.close()


class _Writer:
    """Collects vectors, and writes each block once it is whole."""

    def __init__(self, directory: VectorDirectory, blocks: Sequence[Block], dtype: str):
        self._directory, self._dtype = directory, dtype
        self._is_sound = False  # Whether any vector was finite: else the weights are at fault.
        self._blocks = collections.deque(blocks)
        self._rows: dict[Block, list[Placed]] = collections.defaultdict(list)
        self._vectors: dict[Block, list[np.ndarray]] = collections.defaultdict(list)
        self._left_out: dict[Block, list[tuple[Placed, str]]] = collections.defaultdict(list)

    def add(
        self, vectors: tf.Tensor, rows: Sequence[Placed], left_out: Sequence[tuple[Placed, str]]
    ) -> int:
        """Takes a batch; returns how many images that is."""
        found = np.asarray(vectors)
        if found.ndim != 2 or len(found) < len(rows):
            raise InputError(
                f"model: expected vectors [{len(rows)}, D], received shape {found.shape}"
            )
        with np.errstate(over="ignore"):  # What float16 cannot hold is counted.
            found = found[: len(rows)].astype(self._dtype)
        finite = np.isfinite(found).all(axis=1)
        self._is_sound |= bool(finite.any())
        if not self._is_sound and len(rows) > 1:
            raise InputError(
                f"model: expected finite vectors, received NaN or infinity for all of "
                f"{len(rows)} images, such as {rows[0].entry.key}"
            )
        for row in np.flatnonzero(~finite):
            self._left_out[rows[row].block].append((rows[row], NOT_FINITE))
        for row in np.flatnonzero(finite):
            self._rows[rows[row].block].append(rows[row])
            self._vectors[rows[row].block].append(found[row : row + 1])
        count = len(rows) + self.leave_out(left_out)
        while self._blocks[0].number < rows[-1].block.number:
            self._write()
        return count

    def leave_out(self, left_out: Sequence[tuple[Placed, str]]) -> int:
        """Takes images that have no vector; returns how many."""
        for placed, reason in left_out:
            self._left_out[placed.block].append((placed, reason))
        return len(left_out)

    def close(self) -> None:
        """Writes the blocks that are left."""
        while self._blocks:
            self._write()

    def _write(self) -> None:
        block = self._blocks.popleft()
        self._directory.write(
            block,
            self._rows.pop(block, []),
            self._vectors.pop(block, []),
            self._left_out.pop(block, []),
        )


def _blocks(counts: dict[str, int], size: int) -> list[Block]:
    ranges = [
        (split, start, min(start + size, count))
        for split, count in counts.items()
        for start in range(0, count, size)
    ]
    return [Block(number, *place) for number, place in enumerate(ranges)]


def _check(dtype: str, batch_size: int, rows_per_shard: int, limit: int | None) -> None:
    if dtype not in ("float32", "float16"):
        raise InputError(f"dtype: expected float32 or float16, received {dtype!r}")
    for name, value in (
        ("batch_size", batch_size),
        ("rows_per_shard", rows_per_shard),
        ("limit", limit),
    ):
        if value is not None and value < 1:
            raise InputError(f"{name}: expected at least 1, received {value}")


def _log_result(described: dict, output: pathlib.Path, log: Callable[[str], None]) -> None:
    for reason, count in described["not_listed"].items():
        log(f"{'  ' + reason:<24}{count:>12,} left out by the source")
    for reason, count in described["left_out"].items():
        log(f"{'  ' + reason:<24}{count:>12,} left out, listed in {LEFT_OUT}")
    log(
        f"{'written':<24}{described['rows']:>12,} vectors of {described['size']:,} values, "
        f"{described['dtype']}, in {output}"
    )
