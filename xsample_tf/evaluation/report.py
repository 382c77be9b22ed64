"""Results of `evaluate` for the eye: a table on the terminal, in Markdown, or one line."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from xsample_tf.evaluation.measures.base import figures as figures_of_measures
from xsample_tf.evaluation.results import BASELINES, Figure
from xsample_tf.evaluation.tasks.base import TASKS
from xsample_tf.evaluation.verdict import deciding


def table(results: dict[str, Any]) -> str:
    """Returns the figures of `evaluate` as aligned columns, and what was left out.

    Example:
        >>> print(table(evaluate(encoder, "data/own", baseline=untrained(encoder))))
        measure                            trained  untrained  chance
        kNN top-1 accuracy (k 20, T 0.07)    81.2%      33.0%   10.2%
    """
    lines = _aligned(_cells(results))
    lines += [f"left out: {what}: {why}" for what, why in results["meta"]["left_out"].items()]
    lines += [f"warning: {text}" for text in results["meta"].get("warnings", ())]
    if "verdict" in results:
        lines.append(results["verdict"]["sentence"])
    return "\n".join(lines)


def comparison(results: Mapping[str, dict[str, Any]]) -> str:
    """Returns the figures of several encoders on the same data side by side, and their verdicts.

    Args:
        results: By the encoder's name, as of `evaluate`, with the same baseline.

    Example:
        >>> print(comparison({"epoch-0005": early, "epoch-0010": late}))
        measure                            epoch-0005  epoch-0010  untrained  chance
        kNN top-1 accuracy (k 20, T 0.07)       61.0%       81.2%      33.0%   10.2%
        epoch-0005: better than the untrained encoder: ...
        epoch-0010: better than the untrained encoder: ...
        best: epoch-0010, by knn_top1
    """
    return "\n".join([*_aligned(_compared(results)), *_remarks(results)])


def comparison_markdown(results: Mapping[str, dict[str, Any]]) -> str:
    """Returns what `comparison` does, and what the figures were computed from, in Markdown."""
    lines = ["# Evaluation", "", _described(next(iter(results.values()))["meta"]), ""]
    lines += [*_piped(_compared(results)), "", *(f"- {line}" for line in _remarks(results))]
    return "\n".join(lines) + "\n"


def markdown(results: dict[str, Any]) -> str:
    """Returns the figures of `evaluate`, and what they were computed from, in Markdown."""
    lines = [
        "# Evaluation",
        "",
        *([f"**{_capital(results['verdict']['sentence'])}.**", ""] if "verdict" in results else []),
        _described(results["meta"]),
        "",
        *_piped(_cells(results)),
    ]
    left_out = results["meta"]["left_out"]
    if left_out:
        lines += ["", *(f"- left out: {what}: {why}" for what, why in left_out.items())]
    if results["meta"].get("warnings"):
        lines += ["", *(f"- warning: {text}" for text in results["meta"]["warnings"])]
    return "\n".join(lines) + "\n"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def summary(results: dict[str, Any], step: int) -> str:
    """Returns the trained encoder's chief figures in one line, for use during training.

    Example:
        >>> summary(evaluate(encoder, "data/own"), step=1200)
        'evaluation at step 1,200: kNN 41.0%, linear 52.3%, rank 38.1'
    """
    parts = [
        f"{figure.brief} {written(figure, value)}"
        for figure, value in figures_of(results)
        if figure.brief is not None
    ]
    return f"evaluation at step {step:,}: {', '.join(parts)}"


def _described(meta: dict[str, Any]) -> str:
    """What the figures were computed from and with."""
    with_captions = (
        f"{meta['image_size']} pixels; caption vectors: {meta.get('text_encoder') or 'none'}; "
        f"temperatures of the KL: {meta['temperature']:g} and {meta['target_temperature']:g}; "
        f"seed {meta['seed']}."
    )
    if "layer" in meta:
        with_captions = f"{with_captions} Embeddings are the output of the {meta['layer']}."
    if "images" not in meta:
        return f"Images at {with_captions}"
    return (
        f"Data: `{meta['data_dir']}`, {meta['images']['train']:,} training and "
        f"{meta['images']['val']:,} evaluated images at {with_captions}"
    )


def _cells(results: dict[str, Any]) -> list[list[str]]:
    columns = [name for name in ("trained", *BASELINES, "chance") if name in results]
    head = ["measure", *(BASELINES.get(name, name) for name in columns)]
    rows = [head]
    for figure, _ in figures_of(results):
        values = [written(figure, results[column].get(figure.name)) for column in columns]
        rows.append([figure.title, *values])
    return rows


def _aligned(cells: list[list[str]]) -> list[str]:
    """Lines of columns as wide as what is in them."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = []
    for name, *values in cells:
        padded = [value.rjust(width) for value, width in zip(values, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *padded]))
    return lines


def _piped(cells: list[list[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    head, *rows = ["| " + " | ".join(cell.strip() for cell in row) + " |" for row in cells]
    return [head, "|---|" + "---:|" * (len(cells[0]) - 1), *rows]


def _compared(results: Mapping[str, dict[str, Any]]) -> list[list[str]]:
    """A column of each encoder, then the baseline's and chance, which they share."""
    columns: list[dict[str, str]] = []
    for one in results.values():
        head, *rows = _cells(one)
        columns.append({row[0]: row[1:] for row in rows})
        shared = head[2:]
    titles = list(dict.fromkeys(title for column in columns for title in column))
    cells = [["measure", *results, *shared]]
    for title in titles:
        own = [column.get(title, ["-"])[0] for column in columns]
        rest = next(column[title][1:] for column in columns if title in column)
        cells.append([title, *own, *rest])
    return cells


def _remarks(results: Mapping[str, dict[str, Any]]) -> list[str]:
    """What is said beside the figures: what was left out, warnings, verdicts, and the best one."""
    left_out = dict.fromkeys(
        f"left out: {what}: {why}"
        for one in results.values()
        for what, why in one["meta"]["left_out"].items()
    )
    lines, decided = list(left_out), {}
    for name, one in results.items():
        lines += [f"warning: {name}: {text}" for text in one["meta"].get("warnings", ())]
    for name, one in results.items():
        if "verdict" in one:
            lines.append(f"{name}: {one['verdict']['sentence']}")
        found = deciding(one["trained"])
        if found is not None:
            decided[name] = found
    if len(decided) > 1:
        best = max(decided, key=lambda name: decided[name][1])
        lines.append(f"best: {best}, by {decided[best][0]}")
    return lines


def figures_of(results: dict[str, Any]) -> list[tuple[Figure, float]]:
    """Returns the figures that the encoder has a value of, named by their keys, and the values."""
    kl_of = results["meta"].get("kl_of", "embedding")
    of_measures, tasks = figures_of_measures(), TASKS.names()
    found = []
    for key, value in results["trained"].items():
        task, _, name = key.rpartition("/")
        of_task = TASKS[task].make.figures if task in tasks else ()
        known = of_measures | {figure.name: figure for figure in of_task}
        # Results may be older or younger than the measures at hand.
        figure = known.get(name, Figure(name, name, "{:.4g}"))
        if task:
            figure = dataclasses.replace(figure, title=f"{task}: {figure.title.strip()}")
        if value is not None:
            title = figure.title.replace("{kl_of}", kl_of)
            found.append((dataclasses.replace(figure, name=key, title=title), value))
    return sorted(found, key=lambda one: one[0].last)


def written(figure: Figure, value: float | None) -> str:
    """Returns a number as tables have it."""
    return "-" if value is None else figure.format.format(value)
