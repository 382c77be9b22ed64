"""Puts the page together."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from xsample_tf import data, pages
from xsample_tf.errors import InputError
from xsample_tf.graphs.base import TIE
from xsample_tf.graphs.inspection import OWN_MASS_RANGE
from xsample_tf.training.graph_page import comparison, suspects, words
from xsample_tf.training.graph_page.sample import Sample
from xsample_tf.training.graph_page.similarities import Similarities, group, measure
from xsample_tf.training.graph_page.variants import Variant, make_variants
from xsample_tf.training.options import Options
from xsample_tf.training.run_data import count_images
from xsample_tf.training.stream import subset_of

MOST_IMAGES = 65_536  # The counts of a group are of 16 bits.
_GALLERY, _NEIGHBOURS = 12, 8
_THUMBNAIL = 96  # Pixels.
_SMALLEST, _LARGEST, _PER_OCTAVE = 64, 32_768, 4  # Batch sizes of the slider.
_SCRIPTS = ("target.js", "state.js", "heat_map.js", "images.js", "graph.js")


def graph_page(
    options: Options,
    anchors: int = 256,
    population: int = 4096,
    compare_graph: str = "",
    compare_embedding: str = "",
    compare_own: Mapping[str, Any] | None = None,
    command: str = "",
    log: Callable[[str], None] = print,
) -> str:
    """Returns a self-contained HTML page that shows the target of a run.

    Args:
        options: The settings of the run; its length is not needed.
        anchors: Images whose targets are looked at. Defaults to 256.
        population: Images that batches are drawn from, at most 65,536. Defaults to 4,096.
        compare_graph: Another graph by name, to compare with the run's.
        compare_embedding: Other caption vectors: their name in the data directory, or a text
            encoder's handle.
        compare_own: Values of the options that the other graph declares.
        command: How the page was made, to show on it.
        log: Receives lines for the user. Defaults to `print`.

    Raises:
        InputError: The options or the data cannot be used, or there are fewer than 3 images.

    Example:
        >>> html = graph_page(Options(data_dir=("data/flickr8k",), target_temperature=0.05))
    """
    dataset, images = _open(options, population)
    variants = make_variants(
        options, dataset, images, compare_graph, compare_embedding, compare_own or {}
    )
    log(f"similarities of {images:,} images: {', '.join(one.name for one in variants)}")
    chosen = np.unique(np.linspace(0, images - 1, min(anchors, images)).astype(int))
    measured = [measure(variant, chosen) for variant in variants]
    sample = Sample(variants[0], dataset)
    content = _content(options, variants, measured, sample)
    content["suspects"] = _suspects(variants[0], sample, log)
    content["comparison"] = None
    if compare_graph or compare_embedding:
        names = {"first": variants[0].name, "second": variants[-1].name}
        found = comparison.compare(measured[0], measured[-1], sample.labels)
        content["comparison"] = found | names
    content["images"] = _images(options, content, sample, images)
    return _page(options, variants[0], content, len(chosen), images, command)


def _open(options: Options, population: int) -> tuple[data.Dataset, int]:
    """Returns what the first data directory says, and the size of the sample."""
    if not options.data_dir:
        raise InputError("data_dir: expected a directory that tools/prepare_data.py wrote")
    if not options.graph:
        raise InputError(
            f"graph: objective {options.objective!r} has no graph to look at; give one, such as "
            "--graph=cosine"
        )
    images = min(population, count_images(options), MOST_IMAGES)
    if images < 3:
        raise InputError(f"data_dir: expected 3 images or more to train on, received {images}")
    return data.read_dataset(options.data_dir[0]), images


def _content(
    options: Options, variants: list[Variant], measured: list[Similarities], sample: Sample
) -> dict[str, Any]:
    """Returns the page's data, but for suspects, the comparison and pictures."""
    sides = words.sides_of(options)
    temperature, mass = options.parse_target_temperature()
    if temperature is None:
        temperature = variants[0].graph.target_temperature
    anchors, images = measured[0].anchors, len(sample.keys)
    shown = _gallery(measured[0])
    own = "text" if sides == 2 else "views"
    return {
        "seed": options.seed & 0xFFFFFFFF,
        "population": images,
        "sizes": _batch_sizes(options.batch_size, images),
        "sides": sides,
        "exclude_self": options.exclude_self,
        "own": own,
        "words": {
            "low": f"hardly ranks an image's own {own} first.",
            "high": f"hardly differs from {'CLIP' if sides == 2 else 'SimCLR'}'s.",
        },
        "tie": TIE,
        "range": OWN_MASS_RANGE,
        "start": {
            "batch_size": options.batch_size,
            "views": max(options.views, 2),
            "temperature": temperature,
            "mass": mass,
        },
        "text_kind": sample.kind,
        "texts": [sample.shown(image) for image in anchors],
        "anchors": anchors.tolist(),
        "gallery": shown.tolist(),
        "variants": [
            _variant(variant, one, sample, shown)
            for variant, one in zip(variants, measured, strict=True)
        ],
    }


def _variant(
    variant: Variant, similarities: Similarities, sample: Sample, gallery: np.ndarray
) -> dict[str, Any]:
    values, counts, ends = group(similarities.others)
    pairs = similarities.pairs()
    above = pairs[np.triu_indices(len(pairs), 1)]
    hubs, isolated = suspects.extremes(similarities, sample.texts)
    return {
        "name": variant.name,
        "flags": variant.flags,
        "temperature": variant.graph.target_temperature,
        "values": pages.pack(values),
        "counts": pages.pack(counts),
        "ends": pages.pack(ends),
        "histogram": similarities.histogram().tolist(),
        "mean": float(similarities.others.mean(dtype=np.float64)),
        "average": float(similarities.means.mean(dtype=np.float64)),
        "pairs": pages.pack(np.round((np.clip(above, -1, 1) + 1) * 32767).astype(np.uint16)),
        "order": pages.pack(similarities.order()),
        "neighbours": [
            [
                {"image": image, "similarity": value, "count": count}
                for image, value, count in similarities.neighbours(
                    anchor, sample.labels, _NEIGHBOURS
                )
            ]
            for anchor in gallery
        ],
        "hubs": [{"image": image, "value": value} for image, value in hubs],
        "isolated": [{"image": image, "value": value} for image, value in isolated],
    }


def _gallery(similarities: Similarities) -> np.ndarray:
    """Returns places of anchors from the widest target to the narrowest, at temperature 0.1."""
    spread = np.exp((similarities.others.astype(np.float64) - 1) / 0.1).sum(axis=1)
    order = np.argsort(-spread, kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, _GALLERY).astype(int))]


def _batch_sizes(batch_size: int, images: int) -> list[int]:
    """Returns the slider's batch sizes, the run's and the whole sample among them."""
    first, last = min(_SMALLEST, batch_size), max(_LARGEST, batch_size)
    steps = int(np.ceil(_PER_OCTAVE * np.log2(last / first)))
    sizes = {round(first * 2 ** (step / _PER_OCTAVE)) for step in range(steps + 1)}
    return sorted(size for size in sizes | {batch_size, images, last} if size <= last)


def _suspects(variant: Variant, sample: Sample, log: Callable[[str], None]) -> dict[str, Any]:
    found: dict[str, Any] = {"missing": 0, "long": None, "duplicates": None}
    if sample.kind == "key":
        return found
    present = [text for text in sample.texts if text]
    if len(present) > 1:
        found |= suspects.repeated(present)
    found["missing"] = sum(not text for text in sample.texts)
    options = variant.options
    dataset = data.read_dataset(options.data_dir[0])
    handle = options.encode_captions
    if not handle and dataset.encoders and variant.graph.of_captions:
        handle = dataset.encoder(options.embedding or None).handle
    if handle and any(sample.captions):
        found["long"] = suspects.too_long(handle, [one for one in sample.captions if one], log)
    return found


def _images(
    options: Options, content: Mapping[str, Any], sample: Sample, images: int
) -> dict[int, dict[str, str]]:
    """Returns the texts, and of the gallery the pictures, of all images that the page names."""
    anchors, variants = content["anchors"], content["variants"]
    pictured = {anchors[place] for place in content["gallery"]}
    pictured |= {
        one["image"] for variant in variants for row in variant["neighbours"] for one in row
    }
    named = {one["image"] for variant in variants for one in variant["hubs"] + variant["isolated"]}
    for one in (content["comparison"] or {}).get("disagreements", ()):
        named |= {one["anchor"], *one["first"], *one["second"]}
    small = data.thumbnails(
        options.data_dir,
        "train",
        {sample.keys[image] for image in pictured},
        _THUMBNAIL,
        limit=images,
        seed=options.seed,
        subset=subset_of(options),
    )
    found = {}
    for image in sorted(pictured | named):
        found[image] = {"text": sample.shown(image)}
        jpeg = small.get(sample.keys[image]) if image in pictured else None
        if jpeg:
            found[image]["thumbnail"] = pages.picture(jpeg)
    return found


def _page(
    options: Options,
    variant: Variant,
    content: Mapping[str, Any],
    anchors: int,
    images: int,
    command: str,
) -> str:
    names = [os.path.basename(os.path.normpath(one)) for one in options.data_dir]
    title = f"The target of {variant.name} on {', '.join(names)}"
    own = "text" if content["sides"] == 2 else "views"
    body = pages.fill(
        pages.read_part(__package__, "body.html"),
        title=title,
        own=own,
        facts_html=pages.facts(words.facts(options, variant, images, command)),
        numbers_html=words.numbers(options, variant, images),
        anchors=f"{anchors:,}",
        population=f"{images:,}",
    )
    scripts = [pages.read_part(__package__, name) for name in _SCRIPTS]
    return pages.render(title, body, scripts, content, pages.read_part(__package__, "graph.css"))
