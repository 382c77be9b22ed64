"""The tables of parity.py."""

from collections.abc import Mapping, Sequence

import numpy as np

MEASURES = {"knn_top1": "kNN top-1", "linear_top1": "linear probe top-1"}

# Of the first steps: by whom, and PyTorch in which precision.
PROGRAMS = ("ours", "float32", "float64")
# By objective, and by whose program it was trained, the results of each seed.
Runs = Mapping[tuple[str, str], Sequence[Mapping]]


def first_table(first: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """The losses of the first steps from the same weights, and how far they are from float64's."""
    heads = ("ours", "PyTorch", "in float64", "ours - float64", "PyTorch - float64")
    lines = row("objective", "step", *heads) + row("---", *["---:"] * (len(heads) + 1))
    for name, losses in first.items():
        for step, three in enumerate(zip(*(losses[by] for by in PROGRAMS), strict=True)):
            values = [f"{value:.6f}" for value in three]
            values += [f"{value - three[-1]:+.1e}" for value in three[:-1]]
            lines += row(name, str(step + 1), *values)
    return lines


def probe_table(runs: Runs) -> list[str]:
    """Accuracies of the encoders in percent, and what a run took of the processor."""
    heads = [head for title in MEASURES.values() for head in (title, "each seed")]
    lines = row("objective", "trained by", *heads, "processor minutes")
    lines += row("---", "---", *["---:", "---"] * len(MEASURES), "---:")
    untrained = [run["untrained"] for run in next(iter(runs.values()))]
    lines += row("untrained", "", *accuracies(untrained), "")
    for names, some in runs.items():
        minutes = spread([run["minutes"] for run in some], "{:.1f}")
        lines += row(*names, *accuracies(some), minutes)
    return lines


def loss_table(runs: Runs, epochs: int) -> list[str]:
    """The losses of the first step, of each epoch and of the last step."""
    heads = [f"epoch {epoch + 1}" for epoch in range(epochs)]
    lines = row("loss", "trained by", "first step", *heads, "last step")
    lines += row("---", "---", *["---:"] * (len(heads) + 2))
    for names, some in runs.items():
        losses = np.array([run["losses"] for run in some])
        means = [part.mean(axis=1) for part in np.split(losses, epochs, axis=1)]
        columns = [losses[:, 0], *means, losses[:, -1]]
        lines += row(*names, *(spread(column, "{:.3f}") for column in columns))
    return lines


def accuracies(some: Sequence[Mapping[str, float]]) -> list[str]:
    """Each measure in percent: mean and deviation, then each run's."""
    cells = []
    for measure in MEASURES:
        values = [100 * run[measure] for run in some]
        cells += [spread(values, "{:.1f}"), ", ".join(f"{value:.1f}" for value in values)]
    return cells


def spread(values: Sequence[float], form: str) -> str:
    """Mean ± sample standard deviation; of one value the value."""
    mean = form.format(np.mean(values))
    return f"{mean} ± {form.format(np.std(values, ddof=1))}" if len(values) > 1 else mean


def row(*cells: str) -> list[str]:
    return [f"| {' | '.join(cells)} |"]
