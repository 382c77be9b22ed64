"""Sources -> the data directory: shards, splits, `dataset.json`, and the yield by reason.

Work goes in blocks of `records_per_shard` samples at fixed positions of the source. The shards of a
block appear whole and are then entered in a journal: a run that was killed goes on after the last.
"""

import collections
import dataclasses
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from xsample_tf import templates
from xsample_tf.data import manifest, sources, text_encoder
from xsample_tf.data.preparation import (
    beam,
    caption_vectors,
    convert,
    global_shuffle,
    understanding,
)
from xsample_tf.data.preparation.blocks import PARTS, VAL_PARTS, BlockWriter, SourceRange, in_order
from xsample_tf.data.preparation.filters import Quality
from xsample_tf.data.preparation.journal import JOURNAL, Journal
from xsample_tf.data.preparation.shard_writer import as_input_errors, local, merge_shards
from xsample_tf.data.preparation.tally import Tally
from xsample_tf.data.shards import Shard
from xsample_tf.errors import InputError

POOL = "pool"  # The runner that needs no Apache Beam: threads of this process.


@as_input_errors()
def prepare(
    source: str,
    output: str | os.PathLike,
    encoders: Sequence[text_encoder.TextEncoder] = (),
    *,
    validation_source: str | None = None,
    options: sources.Options | None = None,
    quality: Quality | None = None,
    template: str | None = None,
    records_per_shard: int = 1024,
    max_rejected_fraction: float = 0.5,
    threads: int | None = None,
    runner: str = POOL,
    beam_flags: Sequence[str] = (),
    feature_default: float | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    log: Callable[[str], None] = print,
) -> manifest.Dataset | None:
    """Writes `source` as a data directory, with each encoder's caption vectors.

    The same arguments on an unfinished output continue it; on a finished one they return at once.
    The bytes written depend on the source, the options, `quality` and `records_per_shard`, not on
    the runner and its workers. A source that has no split of its own gives
    `options.validation_fraction` to "val" by hash of the files' bytes. Records of sources that are
    read in their own order are arranged by `options.seed` in a second pass, which needs room for
    them twice.

    Args:
        source: KIND:WHERE, see `sources.open_source`.
        output: The data directory; new, empty, or written by this function.
        encoders: Text encoders: `name`, `handle`, `size` and `encoder(captions)` -> `[K, T]`.
        validation_source: Source of "val" in place of any that `source` has, which then all
            trains but for its own "val"; labels are of the classes of `source`.
        options: Columns, classes, split and seed.
        quality: Rules for captions and images; what is left out is counted by reason.
        template: Makes class names captions where there are no others, "{}" being the name; None
            is the paper's "a photo of a {}".
        records_per_shard: Largest number of records in a shard.
        max_rejected_fraction: Share of unusable images above which the run fails.
        threads: That decode, of each worker; None is one per core with "pool", else one.
        runner: "pool", or the name of a runner of Apache Beam, whose workers must share the file
            system of `output` and of the source.
        beam_flags: Beam's own flags, such as "--direct_num_workers=4".
        feature_default: Takes the place of missing numbers in `options.feature_columns`; None
            makes them an error.
        overwrite: Deletes what was prepared in `output` with other arguments.
        dry_run: Logs how the source is understood, with its first records, and returns None.
        log: Receives what was understood, and the table of what was written and left out.

    Raises:
        InputError: Unusable arguments or source, no usable record, too many unusable images, too
            little room, or an output that holds something else.

    Example:
        >>> prepare("folder:photos", "data/photos", [text.load_encoder("lexical")])
    """
    options, quality = options or sources.Options(), quality or Quality()
    template = templates.CLASS_TEMPLATE if template is None else template
    _check(template, options.validation_fraction, records_per_shard, max_rejected_fraction)
    caption_vectors.check_names(encoders)
    if runner != POOL:
        beam.check(runner, beam_flags)
    elif beam_flags:
        raise InputError(f"beam_flags: expected none with runner {POOL!r}, received {beam_flags}")
    opened = sources.open_source(source, options)
    builder = convert.RecordBuilder(template, options.validation_fraction, quality, feature_default)
    understanding.show(opened, builder, log)
    if dry_run:
        return None
    held_out = validation_source and sources.open_source(validation_source, options, opened.classes)
    if encoders and not opened.captioned and not opened.classes:
        raise InputError(f"text encoder: {source} has no captions and no class names")
    output = local(output)
    require_own_output(output, overwrite)
    configuration = {
        "source": opened.fingerprint,
        "validation_source": held_out.fingerprint if held_out else None,
        "template": template if opened.classes and not opened.captioned else None,
        "validation_fraction": options.validation_fraction,
        "records_per_shard": records_per_shard,
        "seed": options.seed,
        "quality": quality.changed(),
        "resize": quality.form(opened.default_resize).resize or None,
    }
    if opened.columns:
        configuration["feature_columns"] = [*map(dataclasses.asdict, opened.columns)]
        configuration["feature_default"] = feature_default
    arranged = quality.deduplicate or not opened.shuffled
    if arranged:
        configuration["arranged"] = True
    journal = Journal(output / JOURNAL, configuration)
    beam.adopt(output, journal)  # What workers of a run that was killed have written.
    if not (output / manifest.MANIFEST).is_file():
        threads = threads or (os.cpu_count() or 1 if runner == POOL else 1)
        run = _Runner(output, journal, runner, tuple(beam_flags), threads)
        writer = BlockWriter(output.absolute(), opened, held_out, builder, arranged, threads)
        spec = f"{source}, val from {validation_source}" if held_out else source
        seed = None if opened.shuffled else options.seed
        _write(writer, run, records_per_shard, seed, max_rejected_fraction, spec, log)
    else:
        log(f"{'images':<24}are there already; --check compares the files with dataset.json")
    for folder in (VAL_PARTS, PARTS):
        shutil.rmtree(output / folder, ignore_errors=True)
    return caption_vectors.add_embeddings(output, encoders, template=template, log=log)


def _write(
    writer: BlockWriter,
    run: "_Runner",
    size: int,
    seed: int | None,
    max_rejected_fraction: float,
    spec: str,
    log: Callable[[str], None],
) -> None:
    """Writes the shards, `size` records each, in an order of the seed if any, and the manifest."""
    output, source = run.output, writer.source
    start = time.monotonic()
    blocks = list(_blocks(source, writer.held_out, size))
    read = _write_blocks(blocks, writer, run)
    entries = [(block, run.journal.entries[block.name]) for block in blocks]
    tally = Tally.of(source, writer.held_out, [entry for _, entry in entries])
    if writer.arranged:
        kept = global_shuffle.arrange(output, entries, seed, writer.maker.quality.deduplicate)
        tally.arrange(kept.counts, kept.duplicates, kept.example)
    tally.check(max_rejected_fraction, spec)
    if writer.arranged:
        splits = _arrange(entries, kept, size, run)
    else:
        splits = _collect(output, entries)
    manifest.write_dataset(_describe(output, spec, source, splits, entries, tally))
    tally.log(log)
    rate = read / max(time.monotonic() - start, 1e-3)
    log(f"{'read':<24}{read:>12,} images, {rate:,.0f} a second")


def _check(
    template: str, validation_fraction: float, records_per_shard: int, max_rejected: float
) -> None:
    for name, value, right, expected in (
        ("template", template, "{}" in template, "text with {} where the class name goes"),
        ("validation_fraction", validation_fraction, 0 <= validation_fraction < 1, "[0, 1)"),
        ("records_per_shard", records_per_shard, records_per_shard > 0, "at least 1"),
        ("max_rejected_fraction", max_rejected, 0 <= max_rejected <= 1, "[0, 1]"),
    ):
        if not right:
            raise InputError(f"{name}: expected {expected}, received {value!r}")


def require_own_output(output: pathlib.Path, overwrite: bool) -> None:
    """Makes sure that `output` is ours to write in."""
    if output.exists() and not output.is_dir():
        raise InputError(f"output: expected a folder, received the file {output}")
    ours = (output / JOURNAL).is_file()
    if output.is_dir() and any(output.iterdir()) and not ours:
        raise InputError(f"output: {output} holds something else; choose a new or empty folder")
    if ours and overwrite:
        (output / manifest.MANIFEST).unlink(missing_ok=True)
        for folder in ("train", "val", VAL_PARTS, PARTS, "embeddings", "entries"):
            shutil.rmtree(output / folder, ignore_errors=True)
        (output / JOURNAL).unlink()  # Last: while it is there, the folder is ours.


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
    output: pathlib.Path,
    spec: str,
    source: sources.Source,
    splits: dict[str, list[Shard]],
    entries: Sequence[tuple[SourceRange, dict]],
    tally: Tally,
) -> manifest.Dataset:
    """Returns what `dataset.json` will say."""
    return manifest.Dataset(
        directory=str(output),
        splits={split: tuple(splits[split]) for split in ("train", "val") if split in splits},
        class_names=source.classes and source.classes.names,
        captions_per_image=max(entry["captions"] for _, entry in entries),
        encoders={},
        rejected=dict(sorted(tally.reasons.items())),
        source=spec,
        columns=source.columns,
    )
