"""Puts the page together."""

import datetime
import html
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xsample_tf import pages
from xsample_tf.data.manifest import read_dataset
from xsample_tf.evaluation.report_page import classes, comparison, embeddings, gallery, runs, tables
from xsample_tf.evaluation.report_page.comparison import Column, Comparison, compare
from xsample_tf.evaluation.report_page.curves import curves_section
from xsample_tf.evaluation.report_page.pictures import look_up
from xsample_tf.evaluation.report_page.runs import Group, Run
from xsample_tf.evaluation.report_page.score_file import NAME as SCORES
from xsample_tf.evaluation.report_page.score_file import ImageScores
from xsample_tf.evaluation.report_page.sections import Section, items
from xsample_tf.evaluation.results import BASELINES, Evaluation, Figure
from xsample_tf.evaluation.verdict import DECIDING, sentence
from xsample_tf.files import write_text
from xsample_tf.version import __version__

REPORT = "report.html"
_SCRIPTS = ("report.js", "matrices.js", "map.js")
_INTERVALS = (
    "A value's ± is half of its 95 % interval, by bootstrap over images. Differences are of the "
    "same images, image by image, with their 95 % interval; bold ones do not hold 0. The intervals "
    "are of these images: another seed of training moves results by more."
)
_SEEDS = (
    " Of several seeds, the value is their mean with the standard deviation over the seeds; their "
    "difference is that of the mean of each image's scores, its interval of the images alone."
)


def evaluation_page(
    found: Evaluation,
    name: str,
    run_dir: str | os.PathLike | None = None,
    command: str = "",
    log: Callable[[str], None] = print,
) -> str:
    """Returns a self-contained HTML page of an evaluation.

    Args:
        found: What `run_tasks` gave.
        name: What the encoder is called in the title.
        run_dir: The training run, whose `metrics.jsonl` has the curves. Defaults to None.
        command: How the page was made, to show on it.
        log: Receives lines for the user. Defaults to `print`.

    Example:
        >>> html = evaluation_page(run_tasks(encoder, ["shards"], settings, baseline), "first")
    """
    results = found.as_dict()
    lines = runs.read_lines(pathlib.Path(run_dir)) if run_dir else []
    run = Run(name, results, ImageScores.of(found.scores).in_one_order(), lines=lines)
    columns = [Column("trained", ((run, "trained"),))]
    baseline = next((one for one in BASELINES if one in results), None)
    if baseline is not None:
        columns.append(Column(BASELINES[baseline], ((run, baseline),)))
    figures = tables.figures_in(columns)
    compared = compare(columns, [figure.name for figure in figures], reference=len(columns) - 1)
    verdict = results.get("verdict", {}).get("sentence")
    parts = [
        _figures_section(columns, compared, figures, len(columns) - 1, [run]),
        curves_section([Group(name, (run,))]),
        *_seen(found, log),
    ]
    return _page(
        f"Evaluation of {name}",
        [verdict[:1].upper() + verdict[1:] + "."] if verdict else [],
        "No verdict: it needs a baseline, and captions or labels.",
        [run],
        _facts(results["meta"], command),
        parts,
    )


def write_report(
    output: str | os.PathLike,
    found: Evaluation,
    name: str,
    run_dir: str | os.PathLike | None = None,
    command: str = "",
    log: Callable[[str], None] = print,
) -> list[str]:
    """Writes `scores.npz` and `report.html` of an evaluation; returns these names.

    Args:
        output: The directory, which is there.
        found: As for `evaluation_page`.
        name: As for `evaluation_page`.
        run_dir: As for `evaluation_page`.
        command: As for `evaluation_page`.
        log: As for `evaluation_page`.

    Raises:
        InputError: The files cannot be written.
    """
    output = pathlib.Path(output)
    ImageScores.of(found.scores).write(output / SCORES)
    write_text(output / REPORT, evaluation_page(found, name, run_dir, command, log))
    return [SCORES, REPORT]


def comparison_page(directories: Sequence[str], command: str = "") -> str:
    """Returns a self-contained HTML page of evaluations side by side.

    Args:
        directories: What tools/train.py or tools/evaluate.py wrote; the others are compared with
            the first. Runs that differ in the seed alone become one column.
        command: How the page was made, to show on it.

    Raises:
        InputError: A directory without an evaluation, or evaluations of other images.

    Example:
        >>> html = comparison_page(["runs/first", "runs/second"])
    """
    found = runs.read_runs(directories)
    groups = runs.group_by_settings(found)
    columns = [Column.of(group) for group in groups]
    figures = tables.figures_in(columns)
    compared = compare(columns, [figure.name for figure in figures])
    comparison.check_comparable(columns, compared)
    parts = [
        _figures_section(columns, compared, figures, 0, found),
        _settings_section(groups),
        curves_section(groups),
        "Classes, neighbours, map and spectrum: each evaluation's own report.html has them.",
    ]
    known = {figure.name: figure for figure in figures}
    # Model and seed are each run's own.
    common = found[0].results["meta"] | {"model": None, "seed": None}
    verdicts = [_verdict(columns, number, compared, known) for number in range(1, len(columns))]
    return _page(
        "Runs side by side: " + ", ".join(column.name for column in columns),
        [one for one in verdicts if one],
        "No verdict: it needs runs of other settings, and captions or labels.",
        found,
        [("runs", _named(groups)), *_facts(common, command)],
        parts,
    )


def _figures_section(
    columns: Sequence[Column],
    compared: Comparison,
    figures: Sequence[Figure],
    reference: int,
    found: Sequence[Run],
) -> Section:
    chance: dict[str, Any] = {}
    for run in found:
        chance |= run.results.get("chance", {})
    seeds = any(len(column.members) > 1 for column in columns)
    note = f'<p class="note">{html.escape(_INTERVALS + (_SEEDS if seeds else ""))}</p>'
    left_out = [
        f"{run.name + ': ' if len(found) > 1 else ''}{what}: {why}"
        for run in found
        for what, why in run.results["meta"]["left_out"].items()
    ]
    text = tables.figures_table(columns, compared, figures, chance, reference) + note
    if left_out:
        text += f"<h3>Left out</h3>{items(left_out)}"
    return Section("figures", "Figures", text)


def _seen(found: Evaluation, log: Callable[[str], None]) -> list[Section | str]:
    """What the embeddings of the data directory look like."""
    if not found.splits:
        return ["Classes, neighbours, map and spectrum: --data_dir was not evaluated on."]
    dataset, splits = read_dataset(found.meta["data_dir"]), found.splits
    val, names = splits["trained"].val, dataset.class_names or ()
    chosen, rows = gallery.choose(found), embeddings.drawn_rows(len(val))
    pictured = [] if chosen is None else val.hashes[chosen.rows]
    log(f"report: reading {len(pictured):,} pictures and the words of {len(rows):,} images")
    images = look_up(dataset, val.hashes[rows], pictured)
    predictions = {encoder: classes.predict(own) for encoder, own in splits.items()}
    if predictions["trained"] is None:
        parts: list[Section | str] = ["Classes and confusions: no labels."]
        order = None
    else:
        alike = classes.relatedness(val, len(names))
        found_alike = classes.confused(predictions["trained"]) if alike is None else alike
        order = classes.class_order(found_alike)
        parts = [classes.classes_section(predictions, names, alike, order)]
    if chosen is None:
        parts.append("Nearest neighbours: val has fewer than two images.")
    else:
        parts.append(gallery.gallery_section(chosen, val, images, names))
    parts.append(embeddings.map_section(splits, rows, images, names, order))
    return [*parts, embeddings.spectrum_section(splits)]


def _settings_section(groups: Sequence[Group]) -> Section | str:
    known = [group.settings for group in groups]
    if not all(known):
        names = [group.name for group in groups if not group.settings]
        return f"Settings: those of {', '.join(names)} are not known (no options.json)."
    names = [name for name in known[0] if len({str(one.get(name)) for one in known}) > 1]
    names += [name for one in known[1:] for name in one if name not in known[0]]
    if not names:
        return "Settings: the runs have the same, but for the seed."
    rows = [[name, *(_shown(one.get(name, "-")) for one in known)] for name in dict.fromkeys(names)]
    text = pages.table(["setting", *(group.name for group in groups)], rows)
    text = f'<div class="scroll" tabindex="0" role="group" aria-label="Settings">{text}</div>'
    return Section("settings", "Settings that differ", text)


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text or "none"


def _verdict(
    columns: Sequence[Column], number: int, compared: Comparison, known: dict[str, Figure]
) -> str | None:
    for figure in DECIDING:
        interval = compared.differences.get((number, figure))
        if interval is not None:
            words = sentence(known[figure], interval, columns[0].name)
            return f"{columns[number].name}: {words}.{_of_seeds(columns, number, known[figure])}"
    return None


def _of_seeds(columns: Sequence[Column], number: int, figure: Figure) -> str:
    """What the seeds say of a difference, where both sides have several."""
    ours, theirs = (columns[one].values(figure.name) for one in (number, 0))
    if min(len(ours), len(theirs)) < 2:
        return ""
    difference = np.mean(ours) - np.mean(theirs)
    error = float(np.sqrt(sum(np.var(one, ddof=1) / len(one) for one in (ours, theirs))))
    text = f" By the seeds its standard error is {tables.unsigned(figure, error)}"
    # That of few seeds is itself uncertain: less than twice of it is no evidence.
    if abs(difference) < 2 * error:
        return f"{text}: seeds alone could make such a difference."
    return f"{text}."


def _named(groups: Sequence[Group]) -> str:
    """The groups with their seeds, as far as these are known."""
    names = []
    for group in groups:
        seeds = [str(run.settings["seed"]) for run in group.runs if "seed" in run.settings]
        plural = "s" if len(seeds) > 1 else ""
        names.append(f"{group.name} (seed{plural} {', '.join(seeds)})" if seeds else group.name)
    return ", ".join(names)


def _facts(meta: dict[str, Any], command: str) -> list[tuple[str, str]]:
    seed = meta["seed"]
    pairs = [("model", meta.get("model") or ""), ("data", meta["data_dir"] or "")]
    if "images" in meta:
        counts = ", ".join(f"{count:,} of {split}" for split, count in meta["images"].items())
        pairs.append(("images", f"{counts}, at {meta['image_size']} pixels"))
    limit = meta["limit"]
    pairs += [
        ("limit", f"{limit:,} images of a split" if limit else ""),
        ("caption vectors", meta.get("text_encoder") or ""),
        ("seed", "" if seed is None else str(seed)),
        ("made", f"{datetime.datetime.now():%Y-%m-%d %H:%M} by xsample_tf {__version__}"),
        ("command", command),
    ]
    return [(name, value) for name, value in pairs if value]


def _page(
    title: str,
    verdicts: Sequence[str],
    without: str,
    found: Sequence[Run],
    facts: list[tuple[str, str]],
    parts: Sequence[Section | str],
) -> str:
    lines = [f'<p class="verdict">{html.escape(one)}</p>' for one in verdicts]
    warnings = [
        f"{run.name + ': ' if len(found) > 1 else ''}{text}"
        for run in found
        for text in run.results["meta"].get("warnings", ())
    ]
    shown = [part for part in parts if isinstance(part, Section)]
    reasons = [part for part in parts if isinstance(part, str)]
    rest = [Section("rest", "Not on this page", items(reasons))] if reasons else []
    body = pages.fill(
        pages.read_part(__package__, "body.html"),
        title=title,
        verdict_html="\n".join(lines) or f'<p class="note">{html.escape(without)}</p>',
        warnings_html=(
            f'<div class="warning" role="note"><b>Warnings</b>{items(warnings)}</div>'
            if warnings
            else ""
        ),
        facts_html=pages.facts(facts),
        sections_html="\n".join(part.render() for part in [*shown, *rest]),
    )
    data = {part.key: part.data for part in shown if part.data is not None}
    scripts = [pages.read_part(__package__, name) for name in _SCRIPTS]
    return pages.render(title, body, scripts, data, pages.read_part(__package__, "report.css"))
