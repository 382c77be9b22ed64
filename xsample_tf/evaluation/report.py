"""Results of `evaluate` for the eye: a table on the terminal, in Markdown, or one line."""

from typing import Any

# Measure to its name, and how a figure is written.
_MEASURES = {
    "knn_top1": ("kNN top-1 accuracy", "{:.1%}"),
    "knn_top5": ("kNN top-5 accuracy", "{:.1%}"),
    "linear_top1": ("linear probe top-1 accuracy", "{:.1%}"),
    "linear_top5": ("linear probe top-5 accuracy", "{:.1%}"),
    "kl": ("KL of the {kl_of} to the caption graph, nats (lower is better)", "{:.3f}"),
    "caption_cosine": ("caption cosine of nearest images", "{:.3f}"),
    "caption_cosine_ratio": ("  over that of random pairs", "{:.2f}"),
    "recall_at_1": ("image to caption recall@1", "{:.1%}"),
    "recall_at_5": ("image to caption recall@5", "{:.1%}"),
    "recall_at_10": ("image to caption recall@10", "{:.1%}"),
    "rankme": ("effective rank (RankMe)", "{:.1f}"),
}
_BRIEF = {
    "knn_top1": "kNN",
    "linear_top1": "linear",
    "kl": "KL",
    "caption_cosine_ratio": "caption cosine ratio",
    "recall_at_10": "caption recall@10",
    "rankme": "rank",
}


def table(results: dict[str, Any]) -> str:
    """Returns the figures of `evaluate` as aligned columns, and what was left out.

    Example:
        >>> print(table(evaluate(encoder, "data/own", baseline=untrained(encoder))))
        measure                     trained  untrained  chance
        kNN top-1 accuracy            81.2%      33.0%   10.2%
    """
    head, *rows = _cells(results)
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = []
    for name, *figures in (head, *rows):
        padded = [figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *padded]))
    lines += [f"left out: {what}: {why}" for what, why in results["meta"]["left_out"].items()]
    return "\n".join(lines)


def markdown(results: dict[str, Any]) -> str:
    """Returns the figures of `evaluate`, and what they were computed from, in Markdown."""
    head, *rows = _cells(results)
    meta = results["meta"]
    lines = [
        "# Evaluation",
        "",
        f"Data: `{meta['data_dir']}`, {meta['images']['train']:,} training and "
        f"{meta['images']['val']:,} evaluated images at {meta['image_size']} pixels; caption "
        f"vectors: {meta['text_encoder'] or 'none'}; temperatures of the KL: "
        f"{meta['temperature']:g} and {meta['target_temperature']:g}; seed {meta['seed']}.",
        "",
        "| " + " | ".join(head) + " |",
        "|---|" + "---:|" * (len(head) - 1),
        *("| " + " | ".join(cell.strip() for cell in row) + " |" for row in rows),
    ]
    if meta["left_out"]:
        lines += ["", *(f"- left out: {what}: {why}" for what, why in meta["left_out"].items())]
    return "\n".join(lines) + "\n"


def summary(results: dict[str, Any], step: int) -> str:
    """Returns the trained encoder's chief figures in one line, for use during training.

    Example:
        >>> summary(evaluate(encoder, "data/own"), step=1200)
        'evaluation at step 1,200: kNN 41.0%, linear 52.3%, KL 0.812, rank 38.1'
    """
    scores = results["trained"]
    figures = [
        f"{name} {_figure(measure, scores[measure])}"
        for measure, name in _BRIEF.items()
        if scores.get(measure) is not None
    ]
    return f"evaluation at step {step:,}: {', '.join(figures)}"


def _cells(results: dict[str, Any]) -> list[list[str]]:
    columns = [name for name in ("trained", "untrained", "chance") if name in results]
    rows = [["measure", *columns]]
    for measure, (name, _) in _MEASURES.items():
        if results["trained"].get(measure) is not None:
            figures = [_figure(measure, results[column].get(measure)) for column in columns]
            rows.append([name.format_map(results["meta"]), *figures])
    return rows


def _figure(measure: str, value: float | None) -> str:
    return "-" if value is None else _MEASURES[measure][1].format(value)
