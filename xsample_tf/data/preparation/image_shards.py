"""The first phase of a preparation: the images of a source become shards and `dataset.json`.

Work goes in blocks of `records_per_shard` samples at fixed positions of the source. The shards of a
block appear whole and are then entered in a journal: a run that was killed goes on after the last.
"""

import collections
import dataclasses
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from xsample_tf.data import manifest, sources
from xsample_tf.data.preparation import (
    beam,
    convert,
    global_shuffle,
)
from xsample_tf.data.preparation.blocks import PARTS, VAL_PARTS, BlockWriter, SourceRange, in_order
from xsample_tf.data.preparation.journal import JOURNAL, Journal, begun_with
from xsample_tf.data.preparation.shard_writer import merge_shards
from xsample_tf.data.preparation.tally import Tally
from xsample_tf.data.shards import Shard

POOL = "pool"  # The runner that needs no Apache Beam: threads of this process.


@dataclasses.dataclass(frozen=True)
class ImageShards:
    """What is written, how and where.

    Attributes:
        output: The data directory.
        spec: The source as the user named it.
        source: The source.
        held_out: Source of "val" in place of any that `source` has, or None.
        builder: Turns samples into records.
        records_per_shard: Largest number of records in a shard.
        max_rejected_fraction: Share of unusable images above which the work fails.
        seed: Orders records that the source has in its own order.
        threads: Decoding threads of each worker; None is one per core with "pool", else one.
        runner: "pool", or the name of a runner of Apache Beam.
        beam_flags: Beam's own flags.
        source_options: Values of the options that the source declares, where not the defaults.
        image_column: Column of the image, where it was named: a source is told by the names of its
            images, and two columns may hold two images of each.
    """

    output: pathlib.Path
    spec: str
    source: sources.Source
    held_out: sources.Source | None
    builder: convert.RecordBuilder
    records_per_shard: int = 1024
    max_rejected_fraction: float = 0.5
    seed: int = 0
    threads: int | None = None
    runner: str = POOL
    beam_flags: tuple[str, ...] = ()
    source_options: Mapping[str, object] = dataclasses.field(default_factory=dict)
    image_column: str | None = None

    @property
    def arranged(self) -> bool:
        """Whether records are put into their final order in a second pass."""
        return self.builder.quality.deduplicate or not self.source.shuffled

    def configuration(self) -> dict[str, object]:
        """Returns what the bytes written depend on, JSON values."""
        source, quality = self.source, self.builder.quality
        named = source.classes and not source.captioned
        values = {
            "source": source.fingerprint,
            "validation_source": self.held_out.fingerprint if self.held_out else None,
            "template": self.builder.template if named else None,
            "validation_fraction": self.builder.validation_fraction,
            "records_per_shard": self.records_per_shard,
            "seed": self.seed,
            "quality": quality.changed(),
            "resize": quality.form(source.default_resize).resize or None,
            "image_column": self.image_column,
        }
        if self.source_options:
            values["source_options"] = dict(self.source_options)
        if self.builder.columns:
            values["feature_columns"] = [*map(dataclasses.asdict, self.builder.columns)]
            values["feature_default"] = self.builder.feature_default
        return values | ({"arranged": True} if self.arranged else {})

    def write(self, log: Callable[[str], None]) -> None:
        """Writes the shards and `dataset.json`, or what is left of them."""
        configuration, before = self.configuration(), begun_with(self.output)
        if before and "image_column" not in before:  # Version 0.2 did not say.
            del configuration["image_column"]
        journal = Journal(self.output / JOURNAL, configuration)
        beam.adopt(self.output, journal)  # What workers of a run that was killed have written.
        if (self.output / manifest.MANIFEST).is_file():
            log(f"{'images':<24}are there already; --check compares the files with dataset.json")
        else:
            threads = self.threads or (os.cpu_count() or 1 if self.runner == POOL else 1)
            run = _Runner(self.output, journal, self.runner, self.beam_flags, threads)
            place = self.output.absolute()
            writer = BlockWriter(
                place, self.source, self.held_out, self.builder, self.arranged, threads
            )
            _write(writer, run, self, log)
        for folder in (VAL_PARTS, PARTS):
            shutil.rmtree(self.output / folder, ignore_errors=True)


def _write(
    writer: BlockWriter, run: "_Runner", job: ImageShards, log: Callable[[str], None]
) -> None:
    """Writes the shards in an order of the seed where it is needed, and the manifest."""
    output, source, size = run.output, writer.source, job.records_per_shard
    seed = None if source.shuffled else job.seed
    start = time.monotonic()
    blocks = list(_blocks(source, writer.held_out, size))
    read = _write_blocks(blocks, writer, run)
    entries = [(block, run.journal.entries[block.name]) for block in blocks]
    tally = Tally.of(source, writer.held_out, [entry for _, entry in entries])
    if writer.arranged:
        kept = global_shuffle.arrange(output, entries, seed, writer.maker.quality.deduplicate)
        tally.arrange(kept.counts, kept.duplicates, kept.example)
    tally.log(log)
    tally.check(job.max_rejected_fraction, job.spec)
    if writer.arranged:
        splits = _arrange(entries, kept, size, run)
    else:
        splits = _collect(output, entries)
    manifest.write_dataset(_describe(job, splits, entries, tally))
    rate = read / max(time.monotonic() - start, 1e-3)
    log(f"{'read':<24}{read:>12,} images, {rate:,.0f} a second")


def _blocks(
    source: sources.Source, held_out: sources.Source | None, size: int
) -> Iterator[SourceRange]:
    """Yields the blocks of the source, and of a validation source that replaces its "val"."""
    parts = [(source, split, split) for split in source.counts]
    if held_out:
        last = list(held_out.counts)[-1]  # "val", where there is one.
        parts = [(source, next(iter(source.counts)), "train"), (held_out, last, "val")]
    for origin, origin_split, split in parts:
        count = origin.counts[origin_split]
        for index, start in enumerate(range(0, count, size)):
            stop = min(start + size, count)
            yield SourceRange(origin is held_out, origin_split, split, index, start, stop)


@dataclasses.dataclass(frozen=True)
class _Runner:
    """Where pieces are written: in threads of this process, or on Beam's workers."""

    output: pathlib.Path
    journal: Journal
    name: str
    flags: tuple[str, ...]
    threads: int

    def __call__(self, pieces: Sequence[beam.Task], write: Callable[[object], dict]) -> None:
        """Writes the pieces, and enters them in the journal."""
        if self.name != POOL:
            beam.run(self.output.absolute(), pieces, write, self.journal, self.name, self.flags)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            entries = in_order(pool, lambda piece: write(piece[1]), pieces, 2 * self.threads)
            for (name, _), entry in zip(pieces, entries, strict=True):
                self.journal.add(name, entry)


def _write_blocks(blocks: Sequence[SourceRange], writer: BlockWriter, run: _Runner) -> int:
    """Writes the shards of the blocks that the journal has not; returns how many images it read."""
    entries = run.journal.entries
    left = [block for block in blocks if not _is_done(run.output, entries.get(block.name))]
    images = sum(block.stop - block.start for block in left)
    if run.name != POOL:
        run([(block.name, block) for block in left], writer)
        return images
    total = sum(block.stop - block.start for block in blocks)
    with tqdm(
        total=total, initial=total - images, unit=" images", desc="images", disable=None
    ) as bar:
        for block in left:  # One after the other: its images are what the threads share.
            run.journal.add(block.name, writer(block, bar.update))
    return images


def _is_done(output: pathlib.Path, entry: dict | None) -> bool:
    # A block that gave nothing is tried again: the images may be where they should be by now.
    shards = entry["shards"].values() if entry else ()
    return bool(shards) and all((output / shard["path"]).is_file() for shard in shards)


def _arrange(
    entries: Sequence[tuple[SourceRange, dict]],
    kept: global_shuffle.Arrangement,
    size: int,
    run: _Runner,
) -> dict[str, list[Shard]]:
    """Writes the shards from the parts that the blocks became."""
    parts = [Shard(**s) for _, entry in entries for s in entry["shards"].values()]
    paths = global_shuffle.shard_paths(kept.counts, size)
    arranger = global_shuffle.ShardArranger(
        run.output.absolute(), tuple(part.path for part in parts), size, kept.identity
    )
    left = [p for p in paths if not arranger.is_done(p, run.journal.entries.get(p))]
    written = [run.journal.entries[p]["shard"]["bytes"] for p in paths if p not in left]
    global_shuffle.check_space(run.output, sum(part.bytes for part in parts) - sum(written))
    run([(path, path) for path in left], arranger)
    splits = collections.defaultdict(list)
    for path in paths:
        shard = Shard(**run.journal.entries[path]["shard"])
        splits[path.partition("/")[0]].append(shard)
    return splits


def _collect(
    output: pathlib.Path, entries: Sequence[tuple[SourceRange, dict]]
) -> dict[str, list[Shard]]:
    """Returns the shards that the blocks became, the parts of "val" merged."""
    splits = collections.defaultdict(list)
    for _, entry in entries:
        for split, shard in entry["shards"].items():
            splits[split].append(Shard(**shard))
    blocks = [block for block, _ in entries]
    if blocks[0].split == "all" and "val" in splits:
        limit = max(block.stop - block.start for block in blocks)
        splits["val"] = list(merge_shards(output, splits["val"], limit))
    return splits


def _describe(
    job: ImageShards,
    splits: dict[str, list[Shard]],
    entries: Sequence[tuple[SourceRange, dict]],
    tally: Tally,
) -> manifest.Dataset:
    """Returns what `dataset.json` will say."""
    shared = entries[0][0].split == "all" or job.source.validation_fraction is not None
    return manifest.Dataset(
        directory=str(job.output),
        splits={split: tuple(splits[split]) for split in ("train", "val") if split in splits},
        class_names=job.source.classes and job.source.classes.names,
        captions_per_image=max(entry["captions"] for _, entry in entries),
        encoders={},
        rejected=dict(sorted(tally.reasons.items())),
        source=job.spec,
        columns=job.builder.columns,
        validation_fraction=job.builder.validation_fraction if shared else None,
    )
