"""The unit of preparation: a block of a source's samples becomes shards that are whole or absent.

A block is written by a pure function of what it is, in this process or on another machine.
"""

import collections
import dataclasses
import pathlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xsample_tf.data import sources
from xsample_tf.data.preparation import convert
from xsample_tf.data.preparation.filters import filtered
from xsample_tf.data.preparation.shard_writer import ShardWriter

VAL_PARTS = "val-parts"  # The few records that a hash gives to "val", to be merged.
PARTS = "parts"  # Records in the source's order, to be arranged.
# Of each record of a part: where its frame stands, the record's checksum, the image's hash, and
# whether it is for "val".
ROW = np.dtype(
    [("offset", "<u8"), ("size", "<u4"), ("crc", "<u4"), ("digest", "V16"), ("val", "?")]
)


@dataclasses.dataclass(frozen=True)
class SourceRange:
    """Positions [start, stop) of a split of a source.

    `split` is "train" or "val" as the source has it, or "all" where the hash of the image decides.
    `held_out` tells whether the source is that of `--validation_source`.
    """

    held_out: bool
    source_split: str
    split: str
    index: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The block's name in the journal."""
        return f"{self.split}/{self.index:05d}"


@dataclasses.dataclass(frozen=True)
class BlockWriter:
    """Writes blocks; can be pickled, sources and all.

    Attributes:
        output: The data directory.
        source: Of the samples.
        held_out: Source of the blocks that are `held_out`.
        maker: Turns samples into records.
        arranged: Whether blocks become parts in the source's order, which are arranged afterwards.
        threads: That decode images.
    """

    output: pathlib.Path
    source: sources.Source
    held_out: sources.Source | None
    maker: convert.RecordBuilder
    arranged: bool
    threads: int

    def __call__(self, block: SourceRange, advance: Callable[[], object] = lambda: None) -> dict:
        """Writes the shards of a block.

        Args:
            block: Which one.
            advance: Called after each sample.

        Returns:
            What the journal says of it, JSON values.
        """
        source, prefix = (self.held_out, "val/") if block.held_out else (self.source, "")
        samples = source.samples(block.source_split, block.start, block.stop)
        with ThreadPoolExecutor(self.threads) as pool:
            made = in_order(
                pool, lambda sample: self.maker(source, prefix, sample), samples, 8 * self.threads
            )
            return self._write(block, made, advance)

    def _write(
        self, block: SourceRange, outcomes: Iterator[convert.Outcome], advance: Callable[[], object]
    ) -> dict:
        writers: dict[str, ShardWriter] = {}
        reasons, examples, rows = collections.Counter(), {}, []
        seen = encoded_again = captions = left_out = 0
        for made in outcomes:
            advance()
            seen += 1
            encoded_again += made.encoded_again
            captions = max(captions, made.captions)
            left_out += made.record is None and filtered(made.reasons)
            reasons.update(made.reasons)
            for reason in made.reasons:
                examples.setdefault(reason, made.name)
            if made.record is not None:
                split = made.split if block.split == "all" else block.split
                writer = self._writer(writers, block, split)
                offset, size = writer.write(made.record)
                crc = zlib.crc32(made.record)
                rows.append((offset, size, crc, made.digest[:16], split == "val"))
        shards = {split: dataclasses.asdict(writer.close()) for split, writer in writers.items()}
        if self.arranged:
            for shard in shards.values():
                np.save(rows_path(self.output, shard["path"]), np.array(rows, ROW))
        return {
            "shards": shards,
            "seen": seen,
            "reasons": reasons,
            "examples": examples,
            "encoded_again": encoded_again,
            "filtered": left_out,
            "captions": captions,
        }

    def _writer(
        self, writers: dict[str, ShardWriter], block: SourceRange, split: str
    ) -> ShardWriter:
        """Returns the writer of a split, or the only one where records are arranged afterwards."""
        folder, kind = split, split
        if self.arranged:
            folder, kind = f"{PARTS}/{block.split}", PARTS
        elif split == "val" != block.split:
            folder = VAL_PARTS
        if kind not in writers:
            writers[kind] = ShardWriter(self.output, f"{folder}/{block.index:05d}.tfrecord")
        return writers[kind]


def rows_path(output: pathlib.Path, part: str) -> pathlib.Path:
    """Returns where the rows of a part stand."""
    return (output / part).with_suffix(".npy")


def in_order(pool: ThreadPoolExecutor, function: Callable, items: Iterable, ahead: int) -> Iterator:
    """Maps in many threads, yields in order, and holds at most `ahead` results."""
    waiting = collections.deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) == ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
