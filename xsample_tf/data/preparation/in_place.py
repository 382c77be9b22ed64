"""TFRecord files that another program wrote, used where they lie: a manifest and caption vectors.

Nothing is copied, so nothing is left out either: the stream answers what cannot be used.
"""

import collections
import dataclasses
import hashlib
import math
import os
import pathlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf
from tqdm import tqdm

from xsample_tf import templates
from xsample_tf.data import manifest, records, sources, text_encoder
from xsample_tf.data.preparation import caption_vectors
from xsample_tf.data.preparation.journal import JOURNAL, Journal, begun_with
from xsample_tf.data.preparation.prepare import require_own_output
from xsample_tf.data.preparation.shard_writer import as_input_errors, local
from xsample_tf.data.shards import Shard, read_records
from xsample_tf.data.sources.interpretation.splits import default_fraction
from xsample_tf.errors import InputError, listing

_CHUNK = 1 << 20  # Bytes that are hashed at a time.


@as_input_errors()
def prepare_in_place(
    source: str,
    output: str | os.PathLike,
    encoders: Sequence[text_encoder.TextEncoder] = (),
    *,
    options: sources.Options | None = None,
    template: str | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    log: Callable[[str], None] = print,
) -> manifest.Dataset:
    """Writes a data directory whose image shards are the source's own TFRecord files.

    For `img2dataset:DIR` of TFRecord files and `tfds:NAME`. Records that lack an image or a caption
    are counted, and stay: the stream replaces what it cannot decode. A source without a validation
    split gives whole files to "val", evenly spread, `options.validation_fraction` of them.

    Args:
        source: KIND:WHERE, see `sources.open_source`.
        output: The data directory for manifest and vectors; new, empty, or of this source.
        encoders: As for `prepare`.
        options: Columns, validation fraction, and where TFDS keeps its data.
        template: Makes captions of class names, as for `prepare`.
        threads: That read; None is one per core.
        overwrite: Deletes what was prepared in `output` with other arguments; never the files.
        log: Receives the table of what there is.

    Raises:
        InputError: A source of another kind or file format, a single file to split, no image in any
            record, or an output that holds something else.

    Example:
        >>> prepare_in_place("tfds:cifar100", "data/cifar100", [text.load_encoder("lexical")])
    """
    options = options or sources.Options()
    template = templates.CLASS_TEMPLATE if template is None else template
    caption_vectors.check_names(encoders)
    if options.feature_columns:
        raise InputError(
            f"feature_columns: expected none for records that are used where they lie, received "
            f"{listing(options.feature_columns)}; leave --in_place out, which copies the records "
            "with these numbers beside the images"
        )
    opened = sources.open_source(source, options)
    stored = opened.tfrecord_files()
    if stored is None:
        raise InputError(
            "in_place: expected tfds:NAME, or img2dataset:DIR with TFRecord files, received "
            f"{source}; leave --in_place out to copy it"
        )
    output = local(output)
    fraction = options.validation_fraction
    if fraction is None and not overwrite:  # As it was begun, if it was.
        fraction = begun_with(output).get("in_place", (None, None))[1]
    if fraction is None:
        fraction = _default_fraction(stored.files)
    splits = _split(stored.files, fraction)
    require_own_output(output, overwrite)
    configuration = {
        "source": opened.fingerprint,
        "in_place": [stored.features.captions, fraction],
        "template": template if opened.classes and not opened.captioned else None,
    }
    if own := sources.changed_options(source, options):
        configuration["source_options"] = own
    journal = Journal(output / JOURNAL, configuration)
    if not (output / manifest.MANIFEST).is_file():
        classes = opened.classes and opened.classes.names
        files = [file for split in splits.values() for file in split]
        left = [file for file in files if file[0] not in journal.entries]
        with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
            found = pool.map(
                lambda file: _inspect(*file, stored.features, len(classes or ())), left
            )
            for (path, _), entry in zip(
                left, tqdm(found, "files", len(left), disable=None), strict=True
            ):
                journal.add(path, entry)
        dataset = _describe(output, source, splits, stored.features, classes, opened, journal)
        if "all" in stored.files:
            dataset = dataclasses.replace(dataset, validation_fraction=fraction)
            log(f"{'validation':<24}{fraction:.4g} of the files (--validation_fraction)")
        _log(dataset, log)
        manifest.write_dataset(dataset)
    return caption_vectors.add_embeddings(output, encoders, template=template, log=log)


def _default_fraction(files: dict[str, tuple[tuple[str, int], ...]]) -> float:
    """The share of files that has enough images, whole files as they are."""
    every = files.get("all", ())
    share = default_fraction(sum(count for _, count in every))
    if share == default_fraction(0):
        return share
    # No more than the files can give, with one left to train on.
    return min(math.ceil(share * len(every)), max(1, len(every) - 1)) / len(every)


def _split(
    files: dict[str, tuple[tuple[str, int], ...]], fraction: float
) -> dict[str, list[tuple[str, int]]]:
    """Returns the files of "train" and "val", whole paths."""
    whole = {
        split: [(os.path.abspath(path) if "://" not in path else path, n) for path, n in own]
        for split, own in files.items()
    }
    if "all" not in whole:
        return whole
    every = whole["all"]
    count = max(round(fraction * len(every)), 1) if fraction else 0
    if count >= len(every):
        raise InputError(
            f"in_place: expected several files, of which some become val, received {len(every)}; "
            "leave --in_place out, or give --validation_fraction=0"
        )
    chosen = {(2 * i + 1) * len(every) // (2 * count) for i in range(count)}
    splits = {"train": [file for i, file in enumerate(every) if i not in chosen]}
    return splits | ({"val": [every[i] for i in sorted(chosen)]} if chosen else {})


def _inspect(path: str, count: int, features: records.FeatureNames, classes: int) -> dict:
    """Returns the journal's entry of a file: what it must contain, and what its records lack."""
    digest, size = hashlib.sha256(), 0
    with tf.io.gfile.GFile(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    shard = Shard(path, count, size, digest.hexdigest())
    captions, reasons = 0, collections.Counter()
    for record in read_records(pathlib.Path(), shard):
        parts = tf.train.Example.FromString(record).features.feature
        texts = len(parts[features.captions].bytes_list.value) if features.captions in parts else 0
        labels = parts[features.label].int64_list.value if features.label in parts else ()
        captions = max(captions, texts)
        if features.image not in parts or not any(parts[features.image].bytes_list.value):
            reasons["missing_image"] += 1
        elif classes and not (labels and 0 <= labels[0] < classes):
            reasons["label_out_of_range"] += 1
        elif not classes and not texts:
            reasons["missing_caption"] += 1
    return {"shard": dataclasses.asdict(shard), "captions": captions, "reasons": reasons}


def _describe(
    output: pathlib.Path,
    source: str,
    splits: dict[str, list[tuple[str, int]]],
    features: records.FeatureNames,
    classes: tuple[str, ...] | None,
    opened: sources.Source,
    journal: Journal,
) -> manifest.Dataset:
    entries = journal.entries
    reasons = collections.Counter(opened.rejected)
    for entry in entries.values():
        reasons.update(entry["reasons"])
    seen = sum(count for files in splits.values() for _, count in files)
    if reasons["missing_image"] == seen:
        raise InputError(f"in_place: no image {features.image!r} in any record of {source}")
    return manifest.Dataset(
        directory=str(output),
        splits={
            split: tuple(Shard(**entries[path]["shard"]) for path, _ in files)
            for split, files in splits.items()
        },
        class_names=classes,
        captions_per_image=max(entry["captions"] for entry in entries.values()),
        encoders={},
        rejected=dict(sorted(reasons.items())),
        source=source,
        features=features,
    )


def _log(dataset: manifest.Dataset, log: Callable[[str], None]) -> None:
    for split, shards in dataset.splits.items():
        log(f"{split:<24}{dataset.records(split):>12,} records in {len(shards):,} files")
    for reason, count in dataset.rejected.items():
        log(f"  {reason:<22}{count:>12,}")
