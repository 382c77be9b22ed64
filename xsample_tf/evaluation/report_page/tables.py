"""Tables of figures: values, and differences with their intervals."""

from collections.abc import Mapping, Sequence

import numpy as np

from xsample_tf.evaluation.report import figures_of, written
from xsample_tf.evaluation.report_page.comparison import Column, Comparison
from xsample_tf.evaluation.report_page.sections import Cell, table
from xsample_tf.evaluation.results import Figure
from xsample_tf.evaluation.verdict import Interval

MINUS = "\u2212"


def figures_in(columns: Sequence[Column]) -> list[Figure]:
    """Returns the figures that any encoder has, in the order of reports."""
    found: dict[str, Figure] = {}
    for column in columns:
        for run, _ in column.members:
            for figure, _ in figures_of(run.results):
                found.setdefault(figure.name, figure)
    return list(found.values())


def figures_table(
    columns: Sequence[Column],
    found: Comparison,
    figures: Sequence[Figure],
    chance: Mapping[str, float | None],
    reference: int,
) -> str:
    """Returns HTML of values and of their differences to a reference.

    Args:
        columns: Encoders.
        found: What `compare` found.
        figures: The rows.
        chance: What an encoder that knows nothing gets, by figure; None where it is not known.
        reference: The number of the column that the others are compared with.
    """
    others = [number for number in range(len(columns)) if number != reference]
    head = [Cell("measure"), *(Cell(column.name, "number") for column in columns)]
    for number in others:
        head.append(Cell(f"{columns[number].name} {MINUS} {columns[reference].name}", "number"))
    head.append(Cell("chance", "number"))
    rows = []
    for figure in figures:
        sub = "sub" if figure.title.startswith(" ") else ""
        row = [Cell(figure.title.strip(), sub)]
        row += [
            _value(figure, column.values(figure.name), found.own.get((number, figure.name)))
            for number, column in enumerate(columns)
        ]
        own = {number: found.differences.get((number, figure.name)) for number in others}
        ends = [max(abs(one.low), abs(one.high)) for one in own.values() if one is not None]
        for number, interval in own.items():
            reason = found.reasons.get((number, figure.name), "no value")
            row.append(_difference(figure, interval, max(ends, default=0), reason))
        row.append(Cell(written(figure, chance.get(figure.name)), "number"))
        rows.append(row)
    return table(head, rows, "Figures of the encoders and their differences")


def signed(figure: Figure, value: float) -> str:
    """Returns a number as the figure writes it, with its sign and without a percent sign."""
    return f"{MINUS if value < 0 else '+'}{unsigned(figure, abs(value))}"


def unsigned(figure: Figure, value: float) -> str:
    """Returns a number as the figure writes it, without a percent sign."""
    return figure.format.format(value).replace("%", "").strip()


def _value(figure: Figure, values: Sequence[float], interval: Interval | None) -> Cell:
    if not values:
        return Cell("-", "number")
    text = written(figure, float(np.mean(values)))
    if len(values) > 1:
        spread, of = float(np.std(values, ddof=1)), f" ({len(values)} seeds)"
    elif interval is not None:
        spread, of = (interval.high - interval.low) / 2, ""
    else:
        return Cell(text, "number")
    return Cell(text, "number", f' <span class="half">± {unsigned(figure, spread)}{of}</span>')


def _difference(figure: Figure, interval: Interval | None, end: float, reason: str) -> Cell:
    if interval is None:
        return Cell(reason, "reason")
    clear = "clear" if interval.low > 0 or interval.high < 0 else "unclear"
    left, right = (50 + 50 * value / (end or 1) for value in (interval.low, interval.high))
    width = max(right - left, 3)
    bar = (
        f'<span class="span" aria-hidden="true"><i style="left:{min(left, 100 - width):.1f}%;'
        f'width:{width:.1f}%"></i></span>'
    )
    unit = " points" if "%" in figure.format else ""
    low, high = signed(figure, interval.low), signed(figure, interval.high)
    text = f"{signed(figure, interval.mean)}{unit}"
    return Cell(text, f"number {clear}", f' <span class="range">[{low}, {high}]</span>{bar}')
