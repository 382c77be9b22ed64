"""The embeddings as a whole: a map of their two main axes, and their singular values."""

import html
from collections.abc import Mapping, Sequence

import numpy as np

from xsample_tf import pages
from xsample_tf.arrays import unit_rows
from xsample_tf.evaluation.measures.effective_rank import singular_values
from xsample_tf.evaluation.report_page.pictures import Shown
from xsample_tf.evaluation.report_page.sections import Section
from xsample_tf.evaluation.results import BASELINES
from xsample_tf.evaluation.splits import Splits

_POINTS = 2000
_AXES_ROWS = 20_000  # From which the axes are computed.
_STEPS = 65_535
_SHOWN_VALUES = 300  # Of the spectrum, evenly spaced on a logarithmic axis.
_EACH = 50  # Of the first values, all.
_FEWEST = 3  # Images of a map.


def drawn_rows(count: int, seed: int = 0) -> np.ndarray:
    """Returns the rows of `val/` that the map shows, int `[M]` in rising order."""
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[:_POINTS])


def principal_axes(embeddings: np.ndarray) -> tuple[np.ndarray, float]:
    """Projects directions onto their two main axes.

    Args:
        embeddings: Float `[N, D]`; their lengths do not count.

    Returns:
        Float64 `[N, 2]`, and the share of the variance that these hold.
    """
    directions = unit_rows(np.asarray(embeddings, np.float32))
    rows = directions[:: -(-len(directions) // _AXES_ROWS)]
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = (rows - mean).astype(np.float32)
    variances, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64) / len(rows))
    # Of one dimension there is no second axis.
    axes = np.zeros((directions.shape[1], 2))
    axes[:, : min(2, len(variances))] = vectors[:, ::-1][:, :2]
    total = variances.sum()
    share = float(variances[::-1][:2].sum() / total) if total > 0 else 0.0
    return (directions - mean) @ axes, share


def map_section(
    splits: Mapping[str, Splits],
    rows: np.ndarray,
    images: Mapping[int, Shown],
    class_names: Sequence[str],
    order: np.ndarray | None,
) -> Section | str:
    """Returns maps of the images of `val/`; why not, where there are too few.

    Args:
        splits: By encoder.
        rows: Which images are shown.
        images: Their words by hash.
        class_names: Empty without labels.
        order: Classes, related ones beside each other; None without labels.
    """
    val = splits["trained"].val
    if len(val) < _FEWEST:
        return f"Map: expected {_FEWEST} images or more, val has {len(val)}."
    maps = []
    for encoder, own in splits.items():
        places, share = principal_axes(own.val.embeddings)
        name = BASELINES.get(encoder, encoder)
        note = f"{name}; the two axes hold {share:.0%} of the variance"
        maps.append({"name": name, "note": note, "places": pages.pack(_scaled(places)[rows])})
    named = len(class_names) > 0 and order is not None
    place_of = np.argsort(order) if named else np.zeros(0, int)
    data = {
        "maps": maps,
        "words": [images.get(int(val.hashes[row]), Shown("")).words for row in rows],
        "labels": pages.pack(val.labels[rows].astype(np.int32)) if named else None,
        "names": [name.replace("_", " ") for name in class_names] if named else [],
        "hues": [round(float(one) / max(len(place_of), 1), 4) for one in place_of],
    }
    colours = (
        "Colours are classes; related classes have related colours."
        if named
        else "There are no labels to colour it by."
    )
    canvases = "".join(
        f"<figure><figcaption>{html.escape(one['note'])}</figcaption>"
        f'<canvas class="map" tabindex="0" role="img" aria-describedby="map-text" '
        f'aria-label="Map of the embeddings, {html.escape(one["name"])}"></canvas></figure>'
        for one in maps
    )
    choice = (
        '<p><label for="map-class">Only show in colour: </label>'
        '<select id="map-class"><option value="-1">all classes</option></select></p>'
        if named
        else ""
    )
    text = (
        f'<p class="note">{len(rows):,} images of val on the two main axes of their directions. '
        f"{colours} Point at an image, or move with the arrow keys.</p>{choice}"
        f'<div class="grid">{canvases}</div>'
        '<p id="map-text" aria-live="polite" class="reading">No image is chosen.</p>'
    )
    return Section("map", "Map of the embeddings", text, data)


def spectrum_section(splits: Mapping[str, Splits]) -> Section | str:
    """Returns the singular values of the embeddings of `val/`; why not, where all are 0."""
    encoders = []
    for encoder, own in splits.items():
        values = singular_values(own.val.embeddings)[::-1]
        if values[0] > 0:
            shares = values / values[0]
            count = min(_SHOWN_VALUES, len(shares))
            # Each of few, and of many fewer and fewer towards the end.
            few = np.arange(1, min(len(shares), _EACH) + 1)
            places = np.union1d(few, np.geomspace(1, len(shares), count).astype(int))
            points = [[int(k), float(f"{shares[k - 1]:.4g}")] for k in places]
            # Rounding leaves values of about this size where there are none.
            points = [point for point in points if point[1] > 1e-6]
            encoders.append({"name": BASELINES.get(encoder, encoder), "points": points})
    if not any(len(one["points"]) > 1 for one in encoders):
        return "Spectrum: the embeddings have a single direction."
    text = (
        '<p class="note">Singular values of the embeddings of val as they are, of which RankMe is '
        "the effective number, relative to the first. A collapse shows as an early fall.</p>"
        '<div class="key" id="spectrum-key"></div><div id="spectrum-chart" class="chart"></div>'
    )
    return Section("spectrum", "Spectrum", text, {"encoders": encoders})


def _scaled(places: np.ndarray) -> np.ndarray:
    """Places as uint16 `[N, 2]` of a square; the few farthest ones are at its edge."""
    low, high = np.percentile(places, [0.5, 99.5], axis=0)
    middle, half = (low + high) / 2, max(float(np.max(high - low)) / 2 * 1.05, 1e-12)
    within = np.clip((places - middle) / half, -1, 1)
    return np.round((within + 1) / 2 * _STEPS).astype(np.uint16)
