"""Curves over training, from `metrics.jsonl`."""

import html
from collections.abc import Sequence
from typing import Any

from xsample_tf.evaluation.measures.base import figures
from xsample_tf.evaluation.report_page.runs import Group, Run
from xsample_tf.evaluation.report_page.sections import Section

# Of what training logs, by its name there.
_TRAINING = {
    "loss": "loss",
    "own_mass": "mass of the target on own views",
    "alignment": "alignment",
    "uniformity": "uniformity",
    "projection_deviation": "deviation of the projections (0 in a collapse)",
    "learning_rate": "learning rate",
}
_POINTS = 400  # Of a curve, at most: more are not seen.
_CHARTS = 12


def curves_section(groups: Sequence[Group]) -> Section | str:
    """Returns charts of what the runs logged while they trained; why not, where they did not."""
    series: dict[str, list[dict[str, Any]]] = {}
    for number, group in enumerate(groups):
        for run in group.runs:
            for name, points in _series(run).items():
                series.setdefault(name, []).append({"run": number, "points": _thinned(points)})
    # A single point is no curve.
    series = {
        name: found for name, found in series.items() if any(len(x["points"]) > 1 for x in found)
    }
    if not series:
        return (
            "Curves over training: no metrics.jsonl with several lines was found; evaluations "
            "during training are asked for by --evaluate_every_epochs."
        )
    known = figures()
    charts = []
    for name, found in list(series.items())[:_CHARTS]:
        figure = known.get(name)
        title = _TRAINING.get(name) if figure is None else figure.title.strip()
        percent = figure is not None and "%" in figure.format
        charts.append({"title": title or name, "percent": percent, "series": found})
    places = "".join(
        f"<figure><figcaption>{html.escape(chart['title'])}</figcaption>"
        f'<div id="curve-{number}" class="chart"></div></figure>'
        for number, chart in enumerate(charts)
    )
    text = f'<div class="key" id="curves-key"></div><div class="grid">{places}</div>'
    data = {"charts": charts, "runs": [group.name for group in groups]}
    return Section("curves", "Curves over training", text, data)


def _series(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Points (step, value) by name: evaluations first, then what training logs."""
    evaluated: dict[str, list[tuple[int, float]]] = {}
    logged: dict[str, list[tuple[int, float]]] = {}
    for line in run.lines:
        for name, value in line.get("evaluation", {}).items():
            if value is not None:
                evaluated.setdefault(name, []).append((line["step"], value))
        for name in _TRAINING:
            if line.get(name) is not None:
                logged.setdefault(name, []).append((line["step"], line[name]))
    return evaluated | logged


def _thinned(points: Sequence[tuple[int, float]]) -> list[list[float]]:
    """Every n-th point and the last one; means would hide spikes of the loss."""
    every = -(-len(points) // _POINTS)
    kept = list(points[::every])
    kept += [points[-1]] if kept[-1] != points[-1] else []
    return [[step, float(f"{value:.6g}")] for step, value in kept]
