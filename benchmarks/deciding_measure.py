"""Which measure without labels orders checkpoints as the linear probe does.

    python benchmarks/deciding_measure.py --data_dir=data/cifar100 --limit=2000 \
        --output=runs/deciding runs/compare/*/seed-*

Evaluates every kept checkpoint of the given runs (`--keep_every_epochs`) and each run's untrained
encoder, and prints and writes OUTPUT/deciding.md: for each measure Spearman's rank correlation with
the linear probe's accuracy, over all of them and within the runs. The same command goes on where an
earlier one ended.
"""

import json
import pathlib

import numpy as np
from absl import app, flags
from environment import environment

from xsample_tf import evaluation, training

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Data with captions and labels.", required=True)
_LIMIT = flags.DEFINE_integer("limit", 2000, "Images of each split.")
_OUTPUT = flags.DEFINE_string("output", None, "Where values and table go.", required=True)

REFERENCE = "linear_top1"
# More is worse.
DESCENDING = ("kl",)


def main(arguments: list[str]) -> None:
    runs = [pathlib.Path(run) for run in arguments[1:]]
    if not runs:
        raise app.UsageError("expected directories of runs, received none")
    output = pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    file = output / "values.json"
    values = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for run in runs:
        for checkpoint in ["untrained", *kept(run)]:
            key = f"{run}:{checkpoint}"
            if key not in values:
                values[key] = measured(run, checkpoint)
                file.write_text(json.dumps(values, indent=1), encoding="utf-8")
    chosen = {key: one for key, one in values.items() if pathlib.Path(key.rsplit(":")[0]) in runs}
    lines = [*environment(), "", *rows(chosen)]
    (output / "deciding.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def kept(run: pathlib.Path) -> list[str]:
    """The names of a run's checkpoints that are never removed."""
    return sorted(path.name for path in (run / "checkpoints").glob("epoch-*"))


def measured(run: pathlib.Path, checkpoint: str) -> dict[str, float | None]:
    """Returns all measures of a checkpoint's encoder, or of the run's untrained one."""
    untrained = checkpoint == "untrained"
    encoder, settings = training.load_encoder(str(run), None if untrained else checkpoint)
    if untrained:
        encoder = evaluation.untrained(encoder, settings["seed"])
    results = evaluation.evaluate(
        encoder, _DATA_DIR.value, image_size=settings["image_size"], limit=_LIMIT.value
    )
    print(f"{run}:{checkpoint} {results['trained']}", flush=True)
    return results["trained"]


def rows(values: dict[str, dict[str, float | None]]) -> list[str]:
    """The table: a row for each measure, the best first."""
    runs: dict[str, list[str]] = {}
    for key in values:
        runs.setdefault(key.rsplit(":")[0], []).append(key)
    found = {}
    for name in next(iter(values.values())):
        if any(one.get(name) is None for one in values.values()):
            continue
        sign = -1 if name in DESCENDING else 1
        series = {key: (sign * one[name], one[REFERENCE]) for key, one in values.items()}
        within = [spearman([series[key] for key in keys]) for keys in runs.values()]
        found[name] = spearman(list(series.values())), float(np.mean(within))
    lines = [
        f"{len(values)} encoders of {len(runs)} runs; {_LIMIT.value:,} images of each split.",
        "",
        f"| measure | rank correlation with {REFERENCE} | within runs, mean |",
        "|---|---:|---:|",
    ]
    ordered = sorted(found.items(), key=lambda one: -one[1][0])
    return lines + [f"| {name} | {one:.2f} | {other:.2f} |" for name, (one, other) in ordered]


def spearman(pairs: list[tuple[float, float]]) -> float:
    """Spearman's rank correlation, ties at their mean rank."""
    ranks = [mean_ranks(np.array(column)) for column in zip(*pairs, strict=True)]
    return float(np.corrcoef(*ranks)[0, 1])


def mean_ranks(column: np.ndarray) -> np.ndarray:
    """Ranks of the values, equal ones at the mean of theirs."""
    _, place, counts = np.unique(column, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]


if __name__ == "__main__":
    app.run(main)
