"""The parts of the page that are text: what it was made of, and the target in numbers."""

import datetime

import tensorflow as tf

from xsample_tf import data, losses, pages
from xsample_tf.errors import InputError
from xsample_tf.training.graph_page.variants import Variant
from xsample_tf.training.options import Options
from xsample_tf.training.run_data import count_images
from xsample_tf.training.settings import OBJECTIVES
from xsample_tf.version import __version__

_SIZES = (64, 256, 1024, 4096, 16_384)  # Batches that are measured for readers without JavaScript.
_MASS = 0.5  # For which the table has a temperature.


def sides_of(options: Options) -> int:
    """Returns 2 where views are compared with texts, else 1; see `losses.summarize_target`."""
    return getattr(OBJECTIVES[options.objective].make, "sides", 1)


def facts(options: Options, variant: Variant, images: int, command: str) -> list[tuple[str, str]]:
    """Returns what the page was made of, names with values."""
    dataset = data.read_dataset(options.data_dir[0])
    pairs = [("graph", " ".join(variant.flags)), ("data", ", ".join(options.data_dir))]
    pairs += [("source", dataset.source)]
    if options.encode_captions:
        pairs.append(("text encoder", options.encode_captions))
    elif variant.graph.of_captions and dataset.encoders:
        encoder = dataset.encoder(options.embedding or None)
        pairs.append(("text encoder", encoder.handle))
        pairs += [("template", encoder.template)] if encoder.template else []
    now = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    pairs += [
        ("sample", f"{images:,} of {count_images(options):,} images, seed {options.seed}"),
        ("made", f"{now} by xsample_tf {__version__}"),
    ]
    return pairs + ([("command", command)] if command else [])


def numbers(options: Options, variant: Variant, images: int) -> str:
    """Returns an HTML table of the target, measured on drawn batches."""
    head = ["batch size", "target temperature", "mass on own views", "entropy H(s), nats"]
    head += ["effective positives", f"target temperature for a mass of {_MASS}"]
    sizes = sorted({size for size in _SIZES if size < images} | {min(images, _SIZES[-1])})
    return pages.table(head, [_row(options, variant, size) for size in sizes])


def _row(options: Options, variant: Variant, size: int) -> list[str]:
    side = tf.nest.map_structure(lambda values: values[:size], variant.side)
    candidates = max(options.views, 2), options.exclude_self, sides_of(options)

    def solved(mass: float) -> float | None:
        try:
            return losses.solve_target_temperature(variant.graph, side, mass, *candidates)
        except InputError:  # No temperature leaves that mass, as of a graph of 0 and 1.
            return None

    given, mass = options.parse_target_temperature()
    temperature = given if mass is None else solved(mass)
    summary = losses.summarize_target(variant.graph, side, temperature, *candidates)
    half = solved(_MASS)
    return [
        f"{size:,}",
        f"{summary.target_temperature:g}",
        f"{summary.own_mass:.3f}",
        f"{summary.entropy:.2f}",
        f"{summary.effective_positives:.1f}",
        "none" if half is None else f"{half:g}",
    ]
