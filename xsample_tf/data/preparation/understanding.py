"""What is printed before the work: how a source was understood, and records as they will be."""

from collections.abc import Callable

from xsample_tf.data import sources
from xsample_tf.data.preparation import convert
from xsample_tf.errors import bounded, listing, shorten

SHOWN_RECORDS = 3
_SHOWN_CLASSES = 5
_LONGEST_LINE = 200


def show(
    source: sources.Source,
    builder: convert.RecordBuilder,
    log: Callable[[str], None],
    split: bool = True,
) -> None:
    """Logs what a source was taken for, its classes, and its first records.

    All of it is decided on the first rows or members: nothing is read to the end for it.

    Args:
        source: What was opened.
        builder: Turns its samples into records.
        log: Receives the lines.
        split: Whether images of a source without splits are split. Defaults to True.

    Raises:
        InputError: None of the first images is where the source says.
    """
    for line in source.understanding():
        role, colon, rest = line.partition(": ")
        log(bounded(f"{role:<23} {rest}" if colon else f"{'':<24}{line}"))
    if split and "all" in source.counts:
        log(f"{'validation':<24}{_shared(source.counts['all'], builder.validation_fraction)}")
    samples, classes = source.preview(SHOWN_RECORDS)
    if classes:
        names = ", ".join(map(shorten, classes.names[:_SHOWN_CLASSES]))
        more = ", ..." if len(classes.names) > _SHOWN_CLASSES else ""
        so_far = " so far" if source.classes_grow else ""
        log(f"{'classes':<24}{len(classes.names):,}{so_far}: {names}{more}")
    if not source.captioned:
        log(f"{'':<24}{_in_place_of_captions(classes, builder.template)}")
    for sample in samples:
        log(bounded(f"{'record':<24}{_describe(sample, source, builder, classes)}"))


def _shared(images: int, fraction: float) -> str:
    """How many images validate, in words."""
    if not fraction:
        return "none of the images (--validation_fraction)"
    return (
        f"{fraction:.4g} of the {images:,} images, about {fraction * images:,.0f}, by a hash of "
        "their bytes (--validation_fraction)"
    )


def _in_place_of_captions(classes: sources.Classes | None, template: str) -> str:
    if classes:
        return f"class names fill {template!r} (--template)"
    return "records have no captions, and there are no class names (--class_names gives them)"


def _describe(
    sample: sources.Sample,
    source: sources.Source,
    builder: convert.RecordBuilder,
    classes: sources.Classes | None,
) -> str:
    """A record in a line: its key, captions and class, or why it will be left out."""
    if sample.fault:
        return f"{sample.key}: left out, {sample.fault}"
    captions, reasons = builder.captions(source.captioned, classes, sample)
    if reasons and not captions:
        return f"{sample.key}: left out, {listing(reasons)}"
    shown = " | ".join(captions) if captions else "no caption"
    if len(captions) > 1:
        shown = f"{len(captions)} captions: {shown}"
    if sample.label is not None:
        name = classes.names[sample.label] if classes else sample.label
        shown += f" (class {name})"
    line = f"{sample.key}: {shown}"
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."
