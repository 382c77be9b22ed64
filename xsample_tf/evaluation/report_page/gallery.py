"""Images with their nearest others, as the trained encoder sees them and as its baseline does."""

import dataclasses
import html
from collections.abc import Mapping, Sequence

import numpy as np

from xsample_tf.arrays import unit_rows
from xsample_tf.evaluation.report_page.pictures import Shown
from xsample_tf.evaluation.report_page.sections import Section
from xsample_tf.evaluation.results import BASELINES, Evaluation, Score
from xsample_tf.evaluation.splits import Split
from xsample_tf.evaluation.verdict import DECIDING

_DRAWN, _EXTREME, _NEIGHBOURS = 6, 2, 6
_NOTES = {
    "drawn": "drawn at random",
    "gained": "training raised its score most",
    "lost": "training lowered its score most",
}


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Which images are shown.

    Attributes:
        queries: Rows of `val/` with the reason they were chosen for, a key of `_NOTES`.
        neighbours: By encoder: cosines float32 and rows int64 `[Q, k]`, nearest first.
    """

    queries: list[tuple[int, str]]
    neighbours: dict[str, tuple[np.ndarray, np.ndarray]]

    @property
    def rows(self) -> np.ndarray:
        """All rows of `val/` that are shown."""
        parts = [[row for row, _ in self.queries], *(rows for _, rows in self.neighbours.values())]
        return np.unique(np.concatenate([np.ravel(part) for part in parts]))


def choose(found: Evaluation, seed: int = 0) -> Gallery | None:
    """Chooses images at random and by what training changed; None of fewer than two images.

    Args:
        found: An evaluation of a data directory.
        seed: Of the choice. Defaults to 0.
    """
    count = len(found.splits["trained"].val)
    if count < 2:
        return None
    order = np.random.default_rng(seed).permutation(count)[:_DRAWN]
    queries = {int(row): "drawn" for row in order}
    queries |= {row: why for row, why in _extremes(found) if row not in queries}
    rows, k = np.array(list(queries)), min(_NEIGHBOURS, count - 1)
    neighbours = {}
    for encoder, splits in found.splits.items():
        directions = unit_rows(np.asarray(splits.val.embeddings, np.float32))
        cosines = directions[rows] @ directions.T
        cosines[np.arange(len(rows)), rows] = -np.inf  # No image is its own neighbour.
        places = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        neighbours[encoder] = np.take_along_axis(cosines, places, axis=1), places
    return Gallery(list(queries.items()), neighbours)


def gallery_section(
    gallery: Gallery, val: Split, images: Mapping[int, Shown], class_names: Sequence[str]
) -> Section:
    """Returns the pictures of a gallery.

    Args:
        gallery: What is shown.
        val: The images, as any encoder sees them.
        images: Pictures and words by hash.
        class_names: Those of the labels; empty without.
    """
    parts = []
    for place, (row, why) in enumerate(gallery.queries):
        lines = []
        for encoder, (cosines, rows) in gallery.neighbours.items():
            cells = "".join(
                _picture(val, int(other), row, images, f"{cosine:.2f}", class_names)
                for other, cosine in zip(rows[place], cosines[place], strict=True)
            )
            name = html.escape(BASELINES.get(encoder, encoder))
            lines.append(
                f'<div class="line"><h3>{name}</h3><div class="pictures" tabindex="0" '
                f'role="group" aria-label="Nearest by the {name} encoder">{cells}</div></div>'
            )
        query = _picture(val, row, None, images, _NOTES[why], class_names)
        parts.append(f'<div class="query"><div>{query}</div><div>{"".join(lines)}</div></div>')
    alike = ""
    if len(class_names):
        alike = " A ✓ marks images of the query's class."
    elif val.captions is not None:
        alike = " Behind “caption” stands the cosine of its captions with the query's."
    text = (
        f'<p class="note">Images of val and their nearest others by cosine, which stands below '
        f"each.{alike}</p>{''.join(parts)}"
    )
    return Section("gallery", "Nearest neighbours", text)


def _extremes(found: Evaluation) -> list[tuple[int, str]]:
    """Rows of `val/` whose deciding score training raised and lowered most."""
    baseline = next((name for name in BASELINES if name in found.scores), None)
    if baseline is None:
        return []
    for name in DECIDING:
        ours, theirs = (found.scores[one].get(name) for one in ("trained", baseline))
        if _usable(ours) and _usable(theirs):
            gain = np.asarray(ours.per_image, float) - np.asarray(theirs.per_image, float)
            order = np.argsort(-gain, kind="stable")
            picked = [(row, "gained") for row in order[:_EXTREME] if gain[row] > 0]
            picked += [(row, "lost") for row in order[::-1][:_EXTREME] if gain[row] < 0]
            return [(int(ours.rows[row]), why) for row, why in picked]
    return []


def _usable(score: Score | None) -> bool:
    return score is not None and score.per_image is not None and score.rows is not None


def _picture(
    val: Split,
    row: int,
    query: int | None,
    images: Mapping[int, Shown],
    note: str,
    class_names: Sequence[str],
) -> str:
    """The picture of an image and what is known of it, beside those of a query."""
    shown = images.get(int(val.hashes[row]), Shown(""))
    alike = ""
    if query is not None:
        if val.labels[query] >= 0 and len(class_names):
            same = val.labels[row] == val.labels[query]
            alike = ' <span class="same" title="the same class">✓</span>' if same else ""
        elif val.captions is not None and val.captions[[query, row]].any(axis=1).all():
            first, second = unit_rows(np.asarray(val.captions[[query, row]], np.float32))
            alike = f" · caption {first @ second:.2f}"
    words = html.escape(shown.words)
    picture = f'<img src="{shown.address}" alt="{words}" loading="lazy">' if shown.address else ""
    return (
        f'<div class="picture">{picture or "<div class=none></div>"}'
        f'<div class="cosine">{note}{alike}</div>'
        f'<div class="words" title="{words}">{words}</div></div>'
    )
