"""Images to what is made of each, in full batches, decoded while the last batch is worked on."""

import collections
import dataclasses
import itertools
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf

from xsample_tf import devices
from xsample_tf.data import image_files
from xsample_tf.data.preparation.blocks import in_order
from xsample_tf.data.views.decode import decode_image
from xsample_tf.embedding.images import Entry, Images
from xsample_tf.errors import InputError
from xsample_tf.tensorflow_errors import as_input_errors

_CHUNK = 8  # Images that one worker decodes one after the other.
_AHEAD = 2  # Batches that are ready before they are asked for.


@dataclasses.dataclass(frozen=True)
class Block:
    """Positions [start, stop) of a split, which become one shard, the `number`-th of all."""

    number: int
    split: str
    start: int
    stop: int


@dataclasses.dataclass(frozen=True)
class Placed:
    """An image at its position of a block's split."""

    block: Block
    position: int
    entry: Entry


@dataclasses.dataclass(frozen=True)
class Batch:
    """What came out of the stream since the last one.

    Attributes:
        made: What is made of the images, `[B, ...]`, B that of the first batch: the last one's rows
            are repeated.
        rows: Whose the first rows are.
        left_out: Images that cannot be decoded, each with the reason.
    """

    made: tf.Tensor
    rows: list[Placed]
    left_out: list[tuple[Placed, str]]


class Stream:
    """The images of blocks, in order.

    Args:
        images: Where they are.
        blocks: Which of them.
        make: Makes a tensor of a known shape of an image uint8 `[H, W, 3]`, in a graph.
        batch_size: Images in a batch.
        wanted: Splits and positions of the images that are read. Defaults to None: all.

    Attributes:
        rest: After the last batch: what was left out behind it.
    """

    def __init__(
        self,
        images: Images,
        blocks: Sequence[Block],
        make: Callable[[tf.Tensor], tf.Tensor],
        batch_size: int,
        wanted: Collection[tuple[str, int]] | None = None,
    ):
        self.rest: list[tuple[Placed, str]] = []
        self._images, self._blocks, self._make = images, blocks, make
        self._batch_size, self._wanted = batch_size, wanted
        # Read, in order, with the reason where there is no file; the batches catch up.
        self._read: collections.deque[tuple[int, Placed, str]] = collections.deque()
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[Batch]:
        with as_input_errors():
            for numbers, made in self._dataset():
                numbers = numbers.numpy().tolist()
                rows, left_out = self._until(numbers)
                if len(numbers) < self._batch_size:
                    made = tf.gather(made, tf.range(self._batch_size) % len(numbers))
                yield Batch(made, rows, left_out)
        if self._error is not None:
            raise self._error
        self.rest = self._until([])[1]

    def _until(self, numbers: list[int]) -> tuple[list[Placed], list[tuple[Placed, str]]]:
        """What was read up to the last number: rows of these numbers, and what is left out."""
        rows, left_out, wanted = [], [], set(numbers)
        while self._read and (not numbers or self._read[0][0] <= numbers[-1]):
            number, placed, reason = self._read.popleft()
            if number in wanted:
                rows.append(placed)
            else:
                left_out.append((placed, reason or "undecodable"))
        return rows, left_out

    def _dataset(self) -> tf.data.Dataset:
        """Batches of numbers of images, int64 `[b]`, and what is made of them."""
        chunks = tf.data.Dataset.from_generator(
            self._chunks,
            output_signature=(tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.string)),
        )

        def usable(numbers: tf.Tensor, contents: tf.Tensor) -> tf.data.Dataset:
            # Here, since further out an error of reading would be ignored as well.
            files = tf.data.Dataset.from_tensor_slices((numbers, contents))
            made = files.map(lambda number, content: (number, self._make(decode_image(content))))
            return made.ignore_errors()

        workers = devices.cores() + 1
        dataset = chunks.interleave(
            usable,
            cycle_length=workers,
            block_length=_CHUNK,
            num_parallel_calls=workers,
            deterministic=True,
        )
        options = tf.data.Options()
        options.autotune.enabled = False  # Else the end may be waited for.
        return dataset.batch(self._batch_size).prefetch(_AHEAD).with_options(options)

    def _chunks(self) -> Iterator[tuple[list[int], list[bytes]]]:
        """Numbers and contents of files, a few at a time, read in threads."""
        threads = 2 * (os.cpu_count() or 1)
        try:
            with ThreadPoolExecutor(threads) as pool:
                read = in_order(pool, _content, self._placed(), 4 * threads)
                found = self._noted(read)
                while chunk := list(itertools.islice(found, _CHUNK)):
                    numbers, contents = zip(*chunk, strict=True)
                    yield list(numbers), list(contents)
        except Exception as error:  # TensorFlow would make text of it.
            self._error = error

    def _placed(self) -> Iterator[tuple[Placed, Callable[[], bytes]]]:
        for run in _runs(self._blocks):
            images = self._images.read(run[0].split, run[0].start, run[-1].stop)
            position, split = run[0].start, run[0].split
            for block in run:
                for entry, read in itertools.islice(images, block.stop - block.start):
                    if self._wanted is None or (split, position) in self._wanted:
                        yield Placed(block, position, entry), read
                    position += 1
            if position < run[-1].stop:
                raise InputError(
                    f"source: expected {run[-1].stop:,} images in {split}, received {position:,}; "
                    "it has changed while it was read"
                )

    def _noted(self, read: Iterator[tuple[Placed, bytes, str]]) -> Iterator[tuple[int, bytes]]:
        """Yields the number and content of each file there is; notes all images."""
        for number, (placed, content, reason) in enumerate(read):
            self._read.append((number, placed, reason))
            if not reason:
                yield number, content


def _runs(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Blocks that follow each other, which are read at one go."""
    run: list[Block] = []
    for block in blocks:
        if run and (run[-1].split, run[-1].stop) != (block.split, block.start):
            yield run
            run = []
        run.append(block)
    if run:
        yield run


def _content(image: tuple[Placed, Callable[[], bytes]]) -> tuple[Placed, bytes, str]:
    placed, read = image
    try:
        return placed, read(), ""
    except image_files.ImageError as error:
        return placed, b"", str(error)
