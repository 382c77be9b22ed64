"""Sources -> the data directory: shards, splits, `dataset.json`, and the yield by reason.

Work goes in blocks of `records_per_shard` samples at fixed positions of the source. The shards of a
block appear whole and are then entered in a journal: a run that was killed goes on after the last.
"""

import collections
import contextlib
import dataclasses
import functools
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from xsample_tf.data import embed, making, records, sources
from xsample_tf.data.duplicates import Hashes
from xsample_tf.data.quality import Quality, filtered
from xsample_tf.data.writing import JOURNAL, Journal, ShardWriter, local, merged
from xsample_tf.errors import InputError

_PARTS = "val-parts"
_HASHES = "hashes.sqlite"


@dataclasses.dataclass(frozen=True)
class _Block:
    """Positions [start, stop) of a split of a source, and where their shards go.

    `split` is "train" or "val" as the source has it, or "all" where the hash of the image decides.
    """

    source: sources.Source
    source_split: str
    split: str
    index: int
    start: int
    stop: int
    prefix: str

    @property
    def name(self) -> str:
        return f"{self.split}/{self.index:05d}"

    def path(self, split: str) -> str:
        """Returns the shard of `split`: the few that a hash gives to "val" are merged later."""
        folder = _PARTS if split != self.split and split == "val" else split
        return f"{folder}/{self.index:05d}.tfrecord"


def prepare(
    source: str,
    output: str | os.PathLike,
    encoders: Sequence[embed.TextEncoder] = (),
    *,
    validation_source: str | None = None,
    options: sources.Options | None = None,
    quality: Quality | None = None,
    template: str | None = None,
    records_per_shard: int = 1024,
    max_rejected_fraction: float = 0.5,
    threads: int | None = None,
    overwrite: bool = False,
    log: Callable[[str], None] = print,
) -> records.Dataset:
    """Writes `source` as a data directory, with each encoder's caption vectors.

    The same arguments on an unfinished output continue it; on a finished one they return at once.
    The bytes written depend on the source, the options, `quality` and `records_per_shard` alone. A
    source that has no split of its own gives `options.validation_fraction` to "val" by hash of the
    files' bytes.

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
        threads: That decode; None is one per core.
        overwrite: Deletes what was prepared in `output` with other arguments.
        log: Receives the table of what was written and what was left out.

    Raises:
        InputError: Unusable arguments or source, no usable record, too many unusable images, or an
            output that holds something else.

    Example:
        >>> prepare("folder:photos", "data/photos", [text.load_encoder("lexical")])
    """
    options, quality = options or sources.Options(), quality or Quality()
    template = making.TEMPLATE if template is None else template
    _check(template, options.validation_fraction, records_per_shard, max_rejected_fraction)
    embed.check_names(encoders)
    opened = sources.open_source(source, options)
    held_out = validation_source and sources.open_source(validation_source, options, opened.classes)
    output = local(output)
    claim(output, overwrite)
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
    journal = Journal(output / JOURNAL, configuration)
    if not (output / records.MANIFEST).is_file():
        blocks = list(_blocks(opened, held_out, records_per_shard))
        maker = making.Maker(template, options.validation_fraction, quality)
        start = time.monotonic()
        read = _write_blocks(output, blocks, journal, maker, threads or os.cpu_count() or 1)
        tally = making.Tally.of(opened, held_out, journal)
        tally.check(max_rejected_fraction, source)
        spec = f"{source}, val from {validation_source}" if held_out else source
        records.write_dataset(_describe(output, spec, opened, blocks, journal, tally))
        tally.log(log)
        rate = read / max(time.monotonic() - start, 1e-3)
        log(f"{'read':<24}{read:>12,} images, {rate:,.0f} a second")
    shutil.rmtree(output / _PARTS, ignore_errors=True)
    (output / _HASHES).unlink(missing_ok=True)
    return embed.add_embeddings(output, encoders, template=template, log=log)


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


def claim(output: pathlib.Path, overwrite: bool) -> None:
    """Makes sure that `output` is ours to write in."""
    if output.exists() and not output.is_dir():
        raise InputError(f"output: expected a folder, received the file {output}")
    ours = (output / JOURNAL).is_file()
    if output.is_dir() and any(output.iterdir()) and not ours:
        raise InputError(f"output: {output} holds something else; choose a new or empty folder")
    if ours and overwrite:
        (output / records.MANIFEST).unlink(missing_ok=True)
        for folder in ("train", "val", _PARTS, "embeddings"):
            shutil.rmtree(output / folder, ignore_errors=True)
        (output / _HASHES).unlink(missing_ok=True)
        (output / JOURNAL).unlink()  # Last: while it is there, the folder is ours.


def _blocks(source: sources.Source, held_out: sources.Source | None, size: int) -> Iterator[_Block]:
    """Yields the blocks of the source, and of a validation source that replaces its "val"."""
    parts = [(source, split, split, "") for split in source.counts]
    if held_out:
        parts = [(source, next(iter(source.counts)), "train", "")]
        last = list(held_out.counts)[-1]  # "val", where there is one.
        parts.append((held_out, last, "val", "val/"))
    for origin, origin_split, split, prefix in parts:
        count = origin.counts[origin_split]
        for index, start in enumerate(range(0, count, size)):
            stop = min(start + size, count)
            yield _Block(origin, origin_split, split, index, start, stop, prefix)


def _write_blocks(
    output: pathlib.Path,
    blocks: Sequence[_Block],
    journal: Journal,
    maker: making.Maker,
    threads: int,
) -> int:
    """Writes the shards of the blocks that the journal has not; returns how many images it read."""
    done = {block.name for block in blocks if _is_done(output, journal.entries.get(block.name))}
    total = sum(block.stop - block.start for block in blocks)
    before = sum(block.stop - block.start for block in blocks if block.name in done)
    opened = Hashes(output / _HASHES, done) if maker.quality.deduplicate else None
    with (
        ThreadPoolExecutor(threads) as pool,
        tqdm(total=total, initial=before, unit=" images", desc="images", disable=None) as bar,
        contextlib.closing(opened) if opened else contextlib.nullcontext() as hashes,
    ):
        for block in blocks:
            if block.name not in done:
                samples = block.source.samples(block.source_split, block.start, block.stop)
                make = functools.partial(maker, block.source, block.prefix)
                made = _in_order(pool, make, samples, ahead=8 * threads)
                entry = _write_block(output, block, made, bar, hashes)
                if hashes:
                    hashes.commit()
                journal.add(block.name, entry)
    return total - before


def _is_done(output: pathlib.Path, entry: dict | None) -> bool:
    # A block that gave nothing is tried again: the images may be where they should be by now.
    shards = entry["shards"].values() if entry else ()
    return bool(shards) and all((output / shard["path"]).is_file() for shard in shards)


def _in_order(
    pool: ThreadPoolExecutor, function: Callable, items: Iterable, ahead: int
) -> Iterator:
    """Maps in many threads, yields in order, and holds at most `ahead` results."""
    waiting = collections.deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) == ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _write_block(
    output: pathlib.Path,
    block: _Block,
    outcomes: Iterator[making.Made],
    bar: tqdm,
    hashes: Hashes | None,
) -> dict:
    """Returns the journal's entry of a block that was written."""
    writers: dict[str, ShardWriter] = {}
    reasons, examples = collections.Counter(), {}
    seen = encoded_again = captions = left_out = 0
    for made in outcomes:
        bar.update()
        if made.record and hashes and not hashes.add(made.digest, block.name):
            made = making.Made(made.key, ("duplicate_image",))
        seen += 1
        encoded_again += made.encoded_again
        captions = max(captions, made.captions)
        left_out += made.record is None and filtered(made.reasons)
        reasons.update(made.reasons)
        for reason in made.reasons:
            examples.setdefault(reason, made.key)
        if made.record is not None:
            split = made.split if block.split == "all" else block.split
            if split not in writers:
                writers[split] = ShardWriter(output, block.path(split))
            writers[split].write(made.record)
    return {
        "shards": {split: dataclasses.asdict(w.close()) for split, w in writers.items()},
        "seen": seen,
        "reasons": reasons,
        "examples": examples,
        "encoded_again": encoded_again,
        "filtered": left_out,
        "captions": captions,
    }


def _describe(
    output: pathlib.Path,
    spec: str,
    source: sources.Source,
    blocks: Sequence[_Block],
    journal: Journal,
    tally: making.Tally,
) -> records.Dataset:
    """Merges the parts of "val" and returns what `dataset.json` will say."""
    splits = collections.defaultdict(list)
    for block in blocks:
        for split, shard in journal.entries[block.name]["shards"].items():
            splits[split].append(records.Shard(**shard))
    if blocks[0].split == "all" and "val" in splits:
        limit = max(block.stop - block.start for block in blocks)
        splits["val"] = list(merged(output, splits["val"], limit))
    return records.Dataset(
        directory=str(output),
        splits={split: tuple(splits[split]) for split in ("train", "val") if split in splits},
        class_names=source.classes and source.classes.names,
        captions_per_image=max(entry["captions"] for entry in journal.entries.values()),
        encoders={},
        rejected=dict(sorted(tally.reasons.items())),
        source=spec,
    )
