"""Which classes an encoder tells apart, and what it takes them for."""

import dataclasses
import html
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from xsample_tf import pages
from xsample_tf.arrays import unit_rows
from xsample_tf.evaluation.measures.knn import knn_scores
from xsample_tf.evaluation.report_page.sections import Cell, Section, table
from xsample_tf.evaluation.results import BASELINES
from xsample_tf.evaluation.splits import Split, Splits

_WORST, _PAIRS = 15, 20
_RELATED = 5  # Classes that count as related to one.
_LARGEST_PICTURE = 200  # Classes, of which a picture still shows the single ones.


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What one classifier takes the labelled images of `val/` for.

    Attributes:
        by: Which classifier.
        counts: Int `[C, C]`, images by their class and by what they were taken for.
    """

    by: str
    counts: np.ndarray

    @property
    def accuracy(self) -> np.ndarray:
        """Float `[C]`, NaN for a class without images."""
        totals = self.counts.sum(axis=1)
        return np.divide(
            np.diag(self.counts), totals, out=np.full(len(totals), np.nan), where=totals > 0
        )


def predict(splits: Splits) -> Predictions | None:
    """Returns the predictions of the linear probe where it was fitted, else those of kNN.

    None without labels.
    """
    labelled = splits.having(("train", "labels")) if splits.classes else None
    if labelled is None:
        return None
    # A probe is not fitted for this alone: it takes minutes on large data.
    if "head" in vars(labelled):
        by, scores = "the linear probe", labelled.head.scores(labelled.val.embeddings)
    else:
        by, (cosines, rows) = "kNN of 20 neighbours", labelled.neighbours
        scores = knn_scores(cosines, labelled.train.labels[rows], labelled.classes)
    classes = labelled.classes
    places = labelled.val.labels * classes + scores.argmax(axis=1)
    counts = np.bincount(places, minlength=classes * classes).reshape(classes, classes)
    return Predictions(by, counts)


def relatedness(val: Split, classes: int) -> np.ndarray | None:
    """Returns cosines `[C, C]` of the classes' mean caption vectors; None where one has none."""
    if val.captions is None:
        return None
    captions, labels = unit_rows(np.asarray(val.captions, np.float32)), val.labels
    known = (labels >= 0) & (labels < classes)
    if len(np.unique(labels[known])) < classes:
        return None
    means = np.zeros((classes, captions.shape[1]), np.float32)
    np.add.at(means, labels[known], captions[known])
    means = unit_rows(means)
    return None if not means.any(axis=1).all() else means @ means.T


def class_order(alike: np.ndarray) -> np.ndarray:
    """Returns int32 `[C]`, classes in the order of a clustering, by likenesses `[C, C]`."""
    if len(alike) < 3:
        return np.arange(len(alike), dtype=np.int32)
    distance = np.max(alike) - (alike + alike.T) / 2
    np.fill_diagonal(distance, 0)
    joined = linkage(squareform(np.maximum(distance, 0), checks=False), "average")
    return leaves_list(joined).astype(np.int32)


def confused(predictions: Predictions) -> np.ndarray:
    """Returns float `[C, C]`, the share of two classes' images that are taken for the other."""
    mistaken = predictions.counts + predictions.counts.T
    totals = predictions.counts.sum(axis=1)
    return mistaken / np.maximum(totals[:, None] + totals[None, :], 1)


def classes_section(
    predictions: Mapping[str, Predictions],
    names: Sequence[str],
    alike: np.ndarray | None,
    order: np.ndarray,
) -> Section:
    """Returns accuracies by class, and what classes are taken for.

    Args:
        predictions: By encoder, the trained one first.
        names: Of the classes.
        alike: How related classes are, `[C, C]`; None where that is not known.
        order: All classes, related ones beside each other.
    """
    names = [name.replace("_", " ") for name in names]
    trained = predictions["trained"]
    shown = np.argsort(trained.accuracy, kind="stable")  # Classes without images come last.
    shown = [one for one in shown if trained.counts[one].any()]
    text = (
        f'<p class="note">Predictions are those of {html.escape(trained.by)} on frozen features, '
        "fitted on train.</p>"
        f'<div class="grid"><div><h3>Worst classes</h3>'
        f"{_accuracies(predictions, names, shown[:_WORST], 'Worst classes')}</div>"
        f"<div><h3>Most confused pairs</h3>{_pairs(predictions, names, alike)}</div></div>"
    )
    if len(shown) > _WORST:
        everything = _accuracies(predictions, names, shown, "All classes")
        text += f"<details><summary>All {len(shown):,} classes</summary>{everything}</details>"
    text += _picture(predictions, len(names), alike)
    data = None
    if len(names) <= _LARGEST_PICTURE:
        data = {
            "names": names,
            "order": pages.pack(order),
            "encoders": {
                BASELINES.get(encoder, encoder): pages.pack(one.counts.astype(np.int32))
                for encoder, one in predictions.items()
            },
        }
    return Section("classes", "Classes and confusions", text, data)


def _accuracies(
    predictions: Mapping[str, Predictions], names: Sequence[str], shown: Sequence[int], caption: str
) -> str:
    encoders = [BASELINES.get(encoder, encoder) for encoder in predictions]
    head = [Cell("class"), Cell("images", "number"), *(Cell(one, "number") for one in encoders)]
    head.append(Cell("most often taken for"))
    accuracies = [one.accuracy for one in predictions.values()]
    counts, rows = predictions["trained"].counts, []
    for one in shown:
        total, others = int(counts[one].sum()), counts[one].copy()
        others[one] = 0
        other = int(others.argmax())
        taken = f"{names[other]} {others[other] / total:.0%}" if others[other] else "-"
        row = [Cell(names[one]), Cell(f"{total:,}", "number")]
        row += [Cell(f"{accuracy[one]:.1%}", "number") for accuracy in accuracies]
        rows.append([*row, Cell(taken, "taken")])
    return table(head, rows, caption)


def _pairs(
    predictions: Mapping[str, Predictions], names: Sequence[str], alike: np.ndarray | None
) -> str:
    shares = [confused(one) for one in predictions.values()]
    first, second = np.triu_indices(len(names), 1)
    order = np.argsort(-shares[0][first, second], kind="stable")[:_PAIRS]
    encoders = [BASELINES.get(encoder, encoder) for encoder in predictions]
    head = [Cell("classes"), *(Cell(one, "number") for one in encoders)]
    head += [] if alike is None else [Cell("caption cosine", "number")]
    rows = []
    for a, b in zip(first[order], second[order], strict=True):
        if not shares[0][a, b]:
            break
        row = [Cell(f"{names[a]} / {names[b]}")]
        row += [Cell(f"{share[a, b]:.1%}", "number") for share in shares]
        rows.append(row + ([] if alike is None else [Cell(f"{alike[a, b]:.2f}", "number")]))
    note = "Share of the two classes' images that are taken for the other."
    return f'<p class="note">{note}</p>{table(head, rows, "Most confused pairs")}'


def _picture(predictions: Mapping[str, Predictions], classes: int, alike: np.ndarray | None) -> str:
    text = f"<h3>Confusions</h3><p>{html.escape(_among_related(predictions, classes, alike))}</p>"
    if classes > _LARGEST_PICTURE:
        return text + (
            f'<p class="note">No picture: of {classes:,} classes, more than {_LARGEST_PICTURE}, it '
            "would not show the single ones.</p>"
        )
    by = "their captions" if alike is not None else "what they are confused with"
    canvases = "".join(
        f"<figure><figcaption>{html.escape(BASELINES.get(encoder, encoder))}</figcaption>"
        f'<canvas class="matrix" tabindex="0" role="img" aria-describedby="classes-text" '
        f'aria-label="Confusions of the {html.escape(BASELINES.get(encoder, encoder))} encoder">'
        "</canvas></figure>"
        for encoder in predictions
    )
    return text + (
        '<p class="note">A row is a class, a column what it is taken for. Stronger colours '
        f"are larger shares. Related classes, by {by}, stand together. Point at a cell, "
        f'or move with the arrow keys.</p><div class="grid matrices">{canvases}</div>'
        '<p id="classes-text" aria-live="polite" class="reading">No cell is chosen.</p>'
    )


def _among_related(
    predictions: Mapping[str, Predictions], classes: int, alike: np.ndarray | None
) -> str:
    """What share of the errors are related classes, in words."""
    if alike is None:
        return "How related classes are is not known without captions of all of them."
    if classes <= 2 * _RELATED:
        return "Of so few classes, none is set apart as related."
    distance = -alike.astype(float)
    np.fill_diagonal(distance, np.inf)
    related = np.zeros((classes, classes), bool)
    np.put_along_axis(related, np.argsort(distance, axis=1)[:, :_RELATED], True, axis=1)
    shares = []
    for encoder, one in predictions.items():
        errors = one.counts.copy()
        np.fill_diagonal(errors, 0)
        if errors.sum():
            share = errors[related].sum() / errors.sum()
            shares.append(f"{share:.0%} ({BASELINES.get(encoder, encoder)})")
    return (
        f"Of all errors, {' and '.join(shares) or 'none'} take an image for one of the {_RELATED} "
        f"classes that its own is most related to by captions; at random it would be "
        f"{_RELATED / (classes - 1):.0%}."
    )
