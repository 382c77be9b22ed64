"""Turns captioned or labelled images into the data directory that tools/train.py reads.

python tools/prepare_data.py --source=table:captions.csv --output=data/mine --text_encoder=lexical

The kinds of sources are listed below. The tool prints how it understands a source before the work;
--dry_run stops there. The same command continues a run that was stopped, and with another
--text_encoder adds its vectors.
"""

import dataclasses
import shlex
import sys
import warnings

import command_line
import source_flags
from absl import flags

from xsample_tf import text
from xsample_tf.data import (
    Quality,
    SavedModelImageEncoder,
    add_image_embeddings,
    add_vocabulary,
    append,
    check,
    prepare,
    prepare_in_place,
    read_dataset,
    sources,
)
from xsample_tf.data.preparation import caption_vectors
from xsample_tf.errors import InputError

_VALIDATION_SOURCE = flags.DEFINE_string(
    "validation_source", None, "KIND:WHERE of the validation split, when it stands elsewhere."
)
_OUTPUT = flags.DEFINE_string("output", None, "The data directory to write.")
_TEXT_ENCODER = flags.DEFINE_list(
    "text_encoder",
    [],
    "Handles: lexical, a sentence-transformers directory or Hugging Face id, a SavedModel or "
    "TF-Hub handle; none leaves the captions without vectors.",
)
_IMAGE_ENCODER = flags.DEFINE_list(
    "image_encoder",
    [],
    "SavedModels of serving_default(images), such as exports of ours, whose vectors of the images "
    "are stored too: for --graph=image.",
)
_IMAGE_ENCODER_SIZE = flags.DEFINE_integer(
    "image_encoder_size",
    None,
    "Side of the images for an --image_encoder that takes any; else 224.",
    lower_bound=1,
)
_VOCABULARY = flags.DEFINE_integer(
    "vocabulary",
    None,
    "Learn so many WordPiece tokens from the training captions, for --text_tower=transformer; "
    "needs no --source where --output has captions.",
)
_EMBEDDINGS_ONLY = flags.DEFINE_bool(
    "embeddings_only",
    False,
    "Add caption vectors or image vectors to shards that --output has; needs no --source.",
)
_IN_PLACE = flags.DEFINE_bool(
    "in_place",
    False,
    "Use the TFRecord files of tfds: or img2dataset: where they lie, and copy nothing.",
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Print how the source is understood, with its first records, and stop."
)
_APPEND = flags.DEFINE_bool(
    "append",
    False,
    "Add the images that --output does not have yet, by the rules of its first preparation.",
)
_CHECK = flags.DEFINE_bool(
    "check", False, "Compare the files of --output with its dataset.json, and change nothing."
)
_FEATURE_COLUMNS = flags.DEFINE_list(
    "feature_columns",
    [],
    "Columns of numbers, or of vectors of one length, that the records keep: NAME or NAME:float.",
)
_FEATURE_DEFAULT = flags.DEFINE_float(
    "feature_default", None, "Takes the place of missing numbers in --feature_columns."
)
_TEMPLATE = flags.DEFINE_string(
    "template",
    None,
    "Makes class names captions where there are no others; else 'a photo of a {}'.",
)
_VALIDATION_FRACTION = flags.DEFINE_float(
    "validation_fraction",
    None,
    "Share of the images for val/ when the source has no such split; by default 0.05, and of 5,000 "
    "images or more at least what gives 1,000.",
)
_CAPTION_RULE = flags.DEFINE_multi_string(
    "caption_rule",
    [],
    "PATTERN=>REPLACEMENT for captions, a regular expression, such as '<PERSON>=>person'; give it "
    "again for each rule.",
)
_MIN_WORDS = flags.DEFINE_integer("min_words", 1, "Leave out captions of fewer words.")
_MAX_WORDS = flags.DEFINE_integer("max_words", None, "Leave out captions of more words.")
_MIN_SIDE = flags.DEFINE_integer("min_side", 8, "Leave out images with a shorter side, in pixels.")
_MAX_ASPECT = flags.DEFINE_float("max_aspect", None, "Leave out images of a larger aspect ratio.")
_DEDUPLICATE = flags.DEFINE_bool(
    "deduplicate", False, "Of image files with the same bytes keep the first."
)
_RESIZE = flags.DEFINE_integer(
    "resize",
    None,
    "Shorter side that larger images get, as JPEG; 0 keeps all; else 256 for webdataset: and "
    "img2dataset: and 0 for other sources.",
)
_JPEG_QUALITY = flags.DEFINE_integer("jpeg_quality", 90, "Of what is resized.")
_RECORDS_PER_SHARD = flags.DEFINE_integer("records_per_shard", 1024, "Records in a shard.")
_MAX_REJECTED_FRACTION = flags.DEFINE_float(
    "max_rejected_fraction", 0.5, "Share of unusable images above which the run fails."
)
_THREADS = flags.DEFINE_integer(
    "threads", None, "Threads that read images; else one per core, or one with Beam."
)
_RUNNER = flags.DEFINE_string(
    "runner",
    "pool",
    "pool: threads of this process; or a runner of Apache Beam (the extra beam), whose workers "
    "share the file system: DirectRunner, FlinkRunner, SparkRunner, DataflowRunner.",
)
_BEAM_FLAGS = flags.DEFINE_string(
    "beam_flags",
    "",
    "Beam's own flags, such as '--direct_num_workers=8 --direct_running_mode=multi_processing'.",
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Delete what --output has of an earlier preparation with other flags."
)


def main() -> None:
    warnings.filterwarnings("ignore", module="PIL")  # What Pillow remarks on is counted.
    if not _OUTPUT.value:
        raise InputError("output: expected a folder for the data directory, received none")
    if _CHECK.value:
        sys.exit(1 if check(_OUTPUT.value, _THREADS.value) else 0)
    listed = bool(source_flags.SOURCE.value)
    alone = _VOCABULARY.value is not None and not listed and not _EMBEDDINGS_ONLY.value
    if listed == _EMBEDDINGS_ONLY.value and not alone:
        raise InputError(
            "source: expected --source=KIND:WHERE, or else --embeddings_only or --vocabulary"
        )
    if not alone:
        _write()
    if _VOCABULARY.value is not None and not _DRY_RUN.value:
        add_vocabulary(
            _OUTPUT.value, _VOCABULARY.value, text.learn_vocabulary, overwrite=_OVERWRITE.value
        )


def _write() -> None:
    """Writes shards, or vectors beside those that are there."""
    if _EMBEDDINGS_ONLY.value and not (_TEXT_ENCODER.value or _IMAGE_ENCODER.value):
        raise InputError(
            "text_encoder: expected a handle such as lexical, or an --image_encoder, with "
            "--embeddings_only"
        )
    if _APPEND.value:
        _append()
        return
    encoders = [text.load_encoder(handle) for handle in _TEXT_ENCODER.value]
    image_encoders = [
        SavedModelImageEncoder(handle, _IMAGE_ENCODER_SIZE.value) for handle in _IMAGE_ENCODER.value
    ]
    if _EMBEDDINGS_ONLY.value:
        if encoders:
            caption_vectors.add_embeddings(
                _OUTPUT.value, encoders, template=_TEMPLATE.value, overwrite=_OVERWRITE.value
            )
        _add_image_vectors(image_encoders, _OVERWRITE.value)
        _print_next_step()
        return
    if _IN_PLACE.value:
        _prepare_in_place(encoders)
    else:
        _prepare(encoders)
    if _DRY_RUN.value:
        return
    _add_image_vectors(image_encoders, overwrite=False)
    if not encoders:
        print("no caption vectors; add them with --embeddings_only --text_encoder=HANDLE")
    _print_next_step()


def _print_next_step() -> None:
    """Prints the command that shows how the images relate, where something says that."""
    dataset = read_dataset(_OUTPUT.value)
    words = ["python", "tools/inspect_graph.py", f"--data_dir={_OUTPUT.value}"]
    if len(dataset.encoders) > 1:
        words.append(f"--embedding={next(iter(dataset.encoders))}")
    elif not dataset.encoders:
        words.append("--graph=label")
    if dataset.encoders or dataset.class_names:
        print(f"see the target before you train: {shlex.join(words)}")


def _add_image_vectors(encoders: list[SavedModelImageEncoder], overwrite: bool) -> None:
    for encoder in encoders:
        add_image_embeddings(_OUTPUT.value, encoder, overwrite=overwrite)


def _prepare_in_place(encoders: list[text.TextEncoder]) -> None:
    """Writes a manifest; refuses flags that would change records, which stay as they are."""
    names = [field.name for field in dataclasses.fields(Quality)]
    names[names.index("caption_rules")] = "caption_rule"
    for name in (
        *names,
        "validation_source",
        "feature_default",
        "records_per_shard",
        "runner",
        "beam_flags",
    ):
        if flags.FLAGS[name].present:
            raise InputError(f"{name}: cannot be used with --in_place, which writes no records")
    prepare_in_place(
        source_flags.SOURCE.value,
        _OUTPUT.value,
        encoders,
        options=_options(),
        template=_TEMPLATE.value,
        threads=_THREADS.value,
        overwrite=_OVERWRITE.value,
    )


def _append() -> None:
    """Adds images; refuses flags whose values are those of the first preparation."""
    names = [field.name for field in dataclasses.fields(Quality)]
    names[names.index("caption_rules")] = "caption_rule"
    names += ["validation_source", "validation_fraction", "template", "records_per_shard", "seed"]
    names += ["runner", "beam_flags", "text_encoder", "overwrite"]
    names += ["image_encoder", "image_encoder_size"]
    for name in [*names, "feature_default", "in_place"]:
        if flags.FLAGS[name].present:
            raise InputError(
                f"{name}: cannot be used with --append, which follows the first preparation"
            )
    known = read_dataset(_OUTPUT.value).encoders
    append(
        source_flags.SOURCE.value,
        _OUTPUT.value,
        [text.load_encoder(encoder.handle) for encoder in known.values()],
        options=_options(),
        max_rejected_fraction=_MAX_REJECTED_FRACTION.value,
        threads=_THREADS.value,
        dry_run=_DRY_RUN.value,
    )


def _prepare(encoders: list[text.TextEncoder]) -> None:
    prepare(
        source_flags.SOURCE.value,
        _OUTPUT.value,
        encoders,
        validation_source=_VALIDATION_SOURCE.value,
        options=_options(),
        quality=_quality(),
        template=_TEMPLATE.value,
        records_per_shard=_RECORDS_PER_SHARD.value,
        max_rejected_fraction=_MAX_REJECTED_FRACTION.value,
        threads=_THREADS.value,
        runner=_RUNNER.value,
        beam_flags=shlex.split(_BEAM_FLAGS.value),
        feature_default=_FEATURE_DEFAULT.value,
        overwrite=_OVERWRITE.value,
        dry_run=_DRY_RUN.value,
    )


def _options() -> sources.Options:
    return source_flags.options(
        feature_columns=tuple(_FEATURE_COLUMNS.value),
        validation_fraction=_VALIDATION_FRACTION.value,
    )


def _quality() -> Quality:
    return Quality(
        caption_rules=tuple(_CAPTION_RULE.value),
        min_words=_MIN_WORDS.value,
        max_words=_MAX_WORDS.value,
        min_side=_MIN_SIDE.value,
        max_aspect=_MAX_ASPECT.value,
        deduplicate=_DEDUPLICATE.value,
        resize=_RESIZE.value,
        jpeg_quality=_JPEG_QUALITY.value,
    )


if __name__ == "__main__":
    command_line.run(main, __doc__)
