"""Sources -> the data directory: shards, splits, `dataset.json`, caption vectors."""

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Callable, Sequence

from xsample_tf import templates
from xsample_tf.data import manifest, sources, text_encoder, vocabulary
from xsample_tf.data.feature_columns import check_default
from xsample_tf.data.preparation import (
    beam,
    caption_vectors,
    convert,
    understanding,
)
from xsample_tf.data.preparation.blocks import PARTS, VAL_PARTS
from xsample_tf.data.preparation.filters import Quality
from xsample_tf.data.preparation.image_shards import POOL, ImageShards
from xsample_tf.data.preparation.journal import JOURNAL, begun_with
from xsample_tf.data.preparation.shard_writer import as_input_errors, local
from xsample_tf.data.sources.interpretation.splits import default_fraction
from xsample_tf.errors import InputError


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
    `options.validation_fraction` to "val" by hash of the files' bytes; an output that was begun
    keeps its own share. Records of sources that are
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
    if options.validation_fraction is None and not overwrite:  # An earlier version took another.
        begun = begun_with(local(output)).get("validation_fraction")
        options = dataclasses.replace(options, validation_fraction=begun)
    _check(template, options.validation_fraction, records_per_shard, max_rejected_fraction)
    _check_runner(runner, beam_flags)
    caption_vectors.check_names(encoders)
    opened = sources.open_source(source, options)
    check_default(opened.columns, feature_default)
    fraction = _fraction(opened, options)
    builder = convert.RecordBuilder(template, fraction, quality, feature_default, opened.columns)
    understanding.show(opened, builder, log, split=validation_source is None)
    if dry_run:
        return None
    own_options = sources.changed_options(source, options)
    held_out = None
    if validation_source:
        held_out = sources.open_source(validation_source, options, opened.classes)
        own_options |= sources.changed_options(validation_source, options)
    if encoders and not opened.captioned and not opened.classes:
        raise InputError(f"text encoder: {source} has no captions and no class names")
    output = local(output)
    require_own_output(output, overwrite)
    ImageShards(
        output=output,
        spec=f"{source}, val from {validation_source}" if held_out else source,
        source=opened,
        held_out=held_out,
        builder=builder,
        records_per_shard=records_per_shard,
        max_rejected_fraction=max_rejected_fraction,
        seed=options.seed,
        threads=threads,
        runner=runner,
        beam_flags=tuple(beam_flags),
        source_options=own_options,
        image_column=options.image_column,
    ).write(log)
    return caption_vectors.add_embeddings(output, encoders, template=template, log=log)


def _check(
    template: str, validation_fraction: float | None, records_per_shard: int, max_rejected: float
) -> None:
    for name, value, right, expected in (
        ("template", template, "{}" in template, "text with {} where the class name goes"),
        ("validation_fraction", validation_fraction, 0 <= (validation_fraction or 0) < 1, "[0, 1)"),
        ("records_per_shard", records_per_shard, records_per_shard > 0, "at least 1"),
        ("max_rejected_fraction", max_rejected, 0 <= max_rejected <= 1, "[0, 1]"),
    ):
        if not right:
            raise InputError(f"{name}: expected {expected}, received {value!r}")


def _fraction(source: sources.Source, options: sources.Options) -> float:
    """The share of the images that validates, where the source has no split."""
    if source.validation_fraction is not None:
        return source.validation_fraction
    given = options.validation_fraction
    return default_fraction(source.counts.get("all", 0)) if given is None else given


def _check_runner(runner: str, beam_flags: Sequence[str]) -> None:
    if runner != POOL:
        beam.check(runner, beam_flags)
    elif beam_flags:
        raise InputError(f"beam_flags: expected none with runner {POOL!r}, received {beam_flags}")


def require_own_output(output: pathlib.Path, overwrite: bool) -> None:
    """Makes sure that `output` is ours to write in."""
    if output.exists() and not output.is_dir():
        raise InputError(f"output: expected a folder, received the file {output}")
    ours = (output / JOURNAL).is_file()
    if output.is_dir() and any(output.iterdir()) and not ours:
        raise InputError(f"output: {output} holds something else; choose a new or empty folder")
    if ours and overwrite:
        (output / manifest.MANIFEST).unlink(missing_ok=True)
        (output / vocabulary.FILE).unlink(missing_ok=True)
        made = ("train", "val", VAL_PARTS, PARTS, "embeddings", "entries")
        for folder in (*made, manifest.IMAGE_VECTORS, manifest.INDEX):
            shutil.rmtree(output / folder, ignore_errors=True)
        (output / JOURNAL).unlink()  # Last: while it is there, the folder is ours.
