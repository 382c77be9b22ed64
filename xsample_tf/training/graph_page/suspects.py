"""Captions that deserve a look before they are trained on."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xsample_tf import text
from xsample_tf.errors import InputError
from xsample_tf.training.graph_page.similarities import Similarities

_MOST = 8  # Of each kind.
_FLAT = 1e-4  # Values that differ by less are no ranking.


def extremes(
    similarities: Similarities, texts: Sequence[str]
) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """Returns images related to everything, and images related to nothing.

    Args:
        similarities: Of the sample.
        texts: `[P]`; of images with the same one the first stands for all.

    Returns:
        (image, mean similarity) with the highest ones first, and (image, largest similarity) with
        the lowest first; empty where images hardly differ in it.
    """
    hubs = _first(np.argsort(-similarities.means, kind="stable"), similarities.means, texts)
    lonely = np.argsort(similarities.largest, kind="stable")
    return hubs, _first(lonely, similarities.largest, texts)


def _first(order: np.ndarray, values: np.ndarray, texts: Sequence[str]) -> list[tuple[int, float]]:
    if np.ptp(values) < _FLAT:
        return []
    distinct: dict[str, int] = {}
    for image in order:
        if len(distinct) == _MOST:
            break
        distinct.setdefault(texts[image], int(image))
    return [(image, float(values[image])) for image in distinct.values()]


def repeated(texts: Sequence[str]) -> dict[str, Any]:
    """Returns how often texts stand beside several images.

    Returns:
        "distinct", the number of different texts; "same_pairs", the share of pairs of images that
        have the same; "duplicates", the most frequent ones with "text" and "count".
    """
    counts, images = Counter(texts), len(texts)
    same = sum(count * (count - 1) for count in counts.values())
    several = [(text, count) for text, count in counts.most_common(_MOST) if count > 1]
    return {
        "distinct": len(counts),
        "same_pairs": same / (images * (images - 1)),
        "duplicates": [{"text": text, "count": count} for text, count in several],
    }


def too_long(
    handle: str, captions: Sequence[str], log: Callable[[str], None]
) -> dict[str, Any] | None:
    """Returns which captions are longer than their encoder reads, or None where it is not known.

    Args:
        handle: The text encoder's.
        captions: Of the sample, those that are not empty.
        log: Receives a line where the encoder cannot be loaded.

    Returns:
        "note", how many, and "examples", some of them.
    """
    try:
        cut = text.load_encoder(handle).truncated(captions)
    except InputError as error:
        log(f"captions over the encoder's length are not looked for: {error}")
        return None
    if cut is None:
        return None
    examples = sorted({captions[i] for i in np.flatnonzero(cut)}, key=len)[-_MOST:]
    return {
        "note": f"{int(cut.sum()):,} of {len(captions):,} captions lose their end to {handle}.",
        "examples": examples[::-1],
    }
