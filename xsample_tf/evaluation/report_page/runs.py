"""Evaluations that were written, read for a comparison."""

import collections
import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from xsample_tf.errors import InputError
from xsample_tf.evaluation.report_page.score_file import NAME, ImageScores

# Settings in which runs of one configuration may differ.
_OF_A_RUN = ("seed", "run_dir")
# What evaluations of one configuration have in common.
_OF_AN_EVALUATION = ("data_dir", "image_size", "limit", "checkpoint", "step", "layer")


@dataclasses.dataclass(frozen=True)
class Run:
    """An evaluation of one trained encoder.

    Attributes:
        name: What it is called on the page.
        results: The content of `results.json`.
        scores: The scores of single images.
        settings: Of the training run, by name; empty where they are not known.
        lines: Those of `metrics.jsonl`; none where there is no such file.
    """

    name: str
    results: Mapping[str, Any]
    scores: ImageScores
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    lines: Sequence[Mapping[str, Any]] = ()


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in the seed alone; most often a single one.

    Attributes:
        name: What it is called on the page.
        runs: One or more.
    """

    name: str
    runs: tuple[Run, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that its runs have in common."""
        known = self.runs[0].settings
        return {name: value for name, value in known.items() if name not in _OF_A_RUN}


def read_runs(directories: Sequence[str]) -> list[Run]:
    """Reads what tools/train.py or tools/evaluate.py wrote.

    Args:
        directories: Of runs or evaluations, two or more different ones.

    Raises:
        InputError: Fewer than two, or one without results or scores.
    """
    paths = [pathlib.Path(os.path.abspath(one)) for one in directories]
    if len(paths) < 2 or len(set(paths)) < len(paths):
        raise InputError(
            "compare: expected two or more different directories, received "
            f"{', '.join(directories) or 'none'}"
        )
    shared = pathlib.Path(os.path.commonpath(paths))
    names = [str(path.relative_to(shared)) for path in paths]
    # Of a run and an evaluation inside of it, the former has no name of its own.
    names = [path.name if name == "." else name for name, path in zip(names, paths, strict=True)]
    return [_read_run(path, name) for path, name in zip(paths, names, strict=True)]


def group_by_settings(runs: Sequence[Run]) -> list[Group]:
    """Puts runs together that differ in the seed alone; runs of unknown settings stay alone."""
    found: dict[Any, list[Run]] = collections.defaultdict(list)
    for number, run in enumerate(runs):
        found[_configuration(run) or number].append(run)
    groups = []
    for own in found.values():
        seeds = [run.settings.get("seed") for run in own]
        apart = len(set(seeds)) < len(own)  # One run that was evaluated twice, or copied.
        parts = [[run] for run in own] if apart else [own]
        groups += [Group(_common_name(part), tuple(part)) for part in parts]
    return groups


def read_lines(directory: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the lines of `metrics.jsonl`; none where there is no such file."""
    try:
        text = (directory / "metrics.jsonl").read_text(encoding="utf-8")
    except OSError:
        return []
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break  # The line that a killed process was writing.
    return lines


def _read_run(path: pathlib.Path, name: str) -> Run:
    try:
        results = json.loads((path / "results.json").read_text(encoding="utf-8"))
        _ = results["trained"], results["meta"]["left_out"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"compare: expected a directory with the results.json and {NAME} that tools/train.py "
            f"or tools/evaluate.py wrote, received {path} ({type(error).__name__}: {error})"
        ) from error
    # An evaluation of a run, or of its export, lies elsewhere.
    model = pathlib.Path(results["meta"].get("model") or path)
    for run in (path, model, model.parent.parent):
        settings = _read_json(run / "options.json")
        if settings:
            break
    else:
        settings = _read_json(model.parent / "model_card.json").get("settings", {})
    return Run(name, results, ImageScores.read(path / NAME), settings, read_lines(run))


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _configuration(run: Run) -> str | None:
    """What runs have in common that differ in the seed alone; None where it is not known."""
    if not run.settings:
        return None
    settings = {name: value for name, value in run.settings.items() if name not in _OF_A_RUN}
    meta = {name: run.results["meta"].get(name) for name in _OF_AN_EVALUATION}
    return json.dumps([settings, meta], sort_keys=True)


def _common_name(runs: Sequence[Run]) -> str:
    if len(runs) == 1:
        return runs[0].name
    parents = {os.path.dirname(run.name) for run in runs}
    if len(parents) == 1 and parents != {""}:
        return parents.pop()
    # Without the seed at its end: of run-10 and run-11 it is run.
    prefix = os.path.commonprefix([run.name for run in runs])
    prefix = re.sub(r"[-_./]\d*$", "", prefix)
    return prefix or f"{runs[0].name} and {len(runs) - 1} more"
