"""Encoders side by side: values, and intervals of what they differ by on the same images."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from xsample_tf.errors import InputError
from xsample_tf.evaluation.report_page.runs import Group, Run
from xsample_tf.evaluation.verdict import Interval, Resampled


@dataclasses.dataclass(frozen=True)
class Column:
    """An encoder, or the same one trained with several seeds.

    Attributes:
        name: What it is called.
        members: A run and the encoder's name in it, for each seed.
    """

    name: str
    members: tuple[tuple[Run, str], ...]

    @classmethod
    def of(cls, group: Group) -> "Column":
        """Returns the trained encoders of a group."""
        return cls(group.name, tuple((run, "trained") for run in group.runs))

    def values(self, figure: str) -> list[float]:
        """Returns the values of a figure, one for each seed that has it."""
        values = [run.results[encoder].get(figure) for run, encoder in self.members]
        return [value for value in values if value is not None]

    def scores(self, figure: str) -> tuple[np.ndarray, np.ndarray] | str:
        """Returns hashes uint64 `[N]` of images and their scores, means over the seeds.

        A text that says why not where there are none.
        """
        hashes, means = None, []
        for run, encoder in self.members:
            scores = run.scores.scores.get(encoder, {}).get(figure)
            own = run.scores.hashes.get(figure)
            if run.results[encoder].get(figure) is None:
                return "not all seeds have it"
            if scores is None:
                return "no mean over images"
            if own is None or len(own) != len(scores):
                return "its task does not say which images its scores are of"
            hashes = own if hashes is None else hashes
            rows = _rows_of(hashes, own)
            if rows is None:
                return f"the seeds of {self.name} were evaluated on different images"
            means.append(scores[rows])
        return hashes, np.mean(means, axis=0)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Intervals of columns, by their number and a figure.

    Attributes:
        own: Of the values themselves.
        differences: Of each column but the reference minus the reference.
        reasons: Why there is no difference.
    """

    own: dict[tuple[int, str], Interval]
    differences: dict[tuple[int, str], Interval]
    reasons: dict[tuple[int, str], str]


def compare(columns: Sequence[Column], figures: Sequence[str], reference: int = 0) -> Comparison:
    """Bootstraps figures and their differences to those of a reference.

    Args:
        columns: Encoders.
        figures: Names of figures.
        reference: The number of the column that the others are compared with. Defaults to 0.
    """
    found = Comparison({}, {}, {})
    # Figures of the same images share the draws.
    by_images: dict[bytes, list[tuple[int, str, np.ndarray]]] = {}
    images: dict[tuple[int, str], np.ndarray | str] = {}
    for figure in figures:
        # The reference first, whose order of the images the others take over.
        for number in sorted(range(len(columns)), key=lambda number: number != reference):
            if not columns[number].values(figure):
                continue
            scores = columns[number].scores(figure)
            images[number, figure] = scores if isinstance(scores, str) else scores[0]
            if not isinstance(scores, str):
                hashes, values = _in_order_of(images.get((reference, figure)), *scores)
                by_images.setdefault(hashes.tobytes(), []).append((number, figure, values))
    for entries in by_images.values():
        resampled = Resampled(np.stack([scores for *_, scores in entries], axis=1))
        places = {(number, figure): i for i, (number, figure, _) in enumerate(entries)}
        for (number, figure), place in places.items():
            found.own[number, figure] = resampled.interval(place)
            other = places.get((reference, figure))
            if number != reference and other is not None:
                found.differences[number, figure] = resampled.interval(place, other)
    for (number, figure), own in images.items():
        if number != reference and (number, figure) not in found.differences:
            found.reasons[number, figure] = _reason(own, images.get((reference, figure)))
    return found


def check_comparable(columns: Sequence[Column], found: Comparison) -> None:
    """Refuses columns that have no image in common with the first one, and seeds that have none.

    Raises:
        InputError: Not one figure is of the same images.
    """
    for number, column in enumerate(columns):
        if len(column.members) > 1 and not any(one == number for one, _ in found.own):
            raise InputError(
                f"compare: expected evaluations of the same images, and those of the seeds of "
                f"{column.name} differ; evaluate them on one --data_dir"
            )
    for number, column in enumerate(columns[1:], 1):
        if not any(one == number for one, _ in found.differences):
            reasons = {why for (one, _), why in found.reasons.items() if one == number}
            # That of the images says more than that of a figure which is no mean over images.
            reasons = sorted(reasons, key=lambda why: "same" not in why) or ["no figure in common"]
            raise InputError(
                f"compare: expected evaluations of the same images, and those of {column.name} and "
                f"{columns[0].name} differ: {reasons[0]}; evaluate both on one --data_dir"
            )


def _in_order_of(
    first: np.ndarray | str | None, hashes: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Brings scores into the order of the first ones where they are of the same images."""
    rows = None if first is None or isinstance(first, str) else _rows_of(first, hashes)
    return (hashes, values) if rows is None else (hashes[rows], values[rows])


def _rows_of(first: np.ndarray, hashes: np.ndarray) -> np.ndarray | None:
    """The rows of hashes in the order of the first ones; None where the images are others."""
    ours, theirs = (np.argsort(one, kind="stable") for one in (first, hashes))
    if not np.array_equal(first[ours], hashes[theirs]):
        return None
    rows = np.empty_like(theirs)
    rows[ours] = theirs
    return rows


def _reason(own: np.ndarray | str, other: np.ndarray | str | None) -> str:
    if other is None:
        return "only one of them has it"
    for side in (own, other):
        if isinstance(side, str):
            return side
    same = len(np.intersect1d(own, other))
    return f"{same:,} images are the same, of {len(own):,} and {len(other):,}"
