"""Opens a source by its kind."""

from xsample_tf.data.sources.base import SOURCES, Classes, Options, Source
from xsample_tf.errors import InputError, suggest
from xsample_tf.registry import declared_options, own_values


def changed_options(spec: str, options: Options) -> dict[str, object]:
    """Returns the options of its own that change what a source gives, where not their defaults."""
    entry = SOURCES[spec.partition(":")[0]]
    values = own_values(entry, options.own)
    return {
        option.name: values[option.name]
        for option in entry.options
        if option.changes_result and values[option.name] != option.default
    }


def open_source(spec: str, options: Options, classes: Classes | None = None) -> Source:
    """Opens `KIND:WHERE`, such as table:FILE or folder:DIR.

    Args:
        spec: The source as `--source` has it; the kinds are `SOURCES.names()`.
        options: How to read it.
        classes: Classes that the labels must agree with, above `options.class_names`.

    Raises:
        InputError: An unknown kind or option, nothing there, or nothing that fits the options.

    Example:
        >>> open_source("folder:cifar100", Options()).counts
        {'train': 20000, 'val': 5000}
    """
    kind, _, where = spec.partition(":")
    if kind not in SOURCES.names() or not where:
        raise InputError(
            f"source: expected KIND:WHERE such as folder:photos, received {spec!r}; "
            + suggest(kind, SOURCES.names())
        )
    declared = declared_options(SOURCES)
    unknown = next((name for name in options.own if name not in declared), None)
    if unknown is not None:
        raise InputError(
            f"source: no kind of source has an option {unknown!r}; {suggest(unknown, declared)}"
        )
    given = classes or options.classes()
    source = SOURCES.make(kind, where, options, given, values=options.own)
    if not isinstance(source, Source):
        raise InputError(
            f"source {kind!r}: expected a data.sources.Source, such as a SampleList, from what is "
            f"registered, received {type(source).__name__}"
        )
    if options.feature_columns and not source.columns:
        raise InputError(f"feature_columns: {kind}: has no columns of numbers")
    return source
