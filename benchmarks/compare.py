"""Trains configurations with several seeds on the same data and tabulates their evaluations.

    python benchmarks/compare.py --configs=cifar100,cifar100_simclr,cifar100_supcon --seeds=0,1,2 \
        --output=runs/compare --extra='--data_dir=data/cifar100 --steps=180'

Prints and writes OUTPUT/compare.md: machine, versions, date, the command, and a column for each
configuration with mean and standard deviation over the seeds. The same command goes on where an
earlier one ended: it skips runs that are done, continues one that was stopped, and counts a new
seed with the old ones. A run that fails does not keep the others from running.
"""

import json
import pathlib
import shlex
import subprocess
import sys

import numpy as np
from absl import app, flags
from environment import environment

from xsample_tf.evaluation.measures.base import figures
from xsample_tf.evaluation.results import BASELINES, Figure

_CONFIGS = flags.DEFINE_list("configs", [], "Names of files in configs/, without their ending.")
_SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds; each configuration is trained with each.")
_OUTPUT = flags.DEFINE_string("output", "runs/compare", "Where the runs and the table go.")
_EXTRA = flags.DEFINE_string("extra", "", "Further flags for every run.")

REPOSITORY = pathlib.Path(__file__).parents[1]


def main(arguments: list[str]) -> None:
    if not _CONFIGS.value:
        raise app.UsageError("--configs: expected names of files in configs/, received none")
    for config in _CONFIGS.value:
        if not (REPOSITORY / "configs" / f"{config}.flags").exists():
            raise app.UsageError(f"--configs: expected files in configs/, received {config!r}")
    output = pathlib.Path(_OUTPUT.value)
    found: dict[str, dict[str, dict]] = {config: {} for config in _CONFIGS.value}
    failed = []
    # Seed by seed, so that what is there when the time is over compares all configurations.
    for seed in _SEEDS.value:
        for config in _CONFIGS.value:
            directory = output / config / f"seed-{seed}"
            results = run(command(config, seed, directory), directory)
            if results is None:
                failed.append(f"{config}, seed {seed}")
            else:
                found[config][seed] = results
    seeds = f"seeds {', '.join(_SEEDS.value)}"
    line = shlex.join(["python", "benchmarks/compare.py", *sys.argv[1:]])
    lines = [*environment(seeds), "", "```bash", line, "```", "", *rows(found)]
    lines += [f"\nNot finished: {name}." for name in failed]
    table = "\n".join(lines) + "\n"
    output.mkdir(parents=True, exist_ok=True)
    (output / "compare.md").write_text(table, encoding="utf-8")
    print(table)
    if failed:
        sys.exit(f"{len(failed)} runs did not finish: {'; '.join(failed)}")


def command(config: str, seed: str, directory: pathlib.Path) -> str:
    """The command that trains a configuration with a seed, as one types it in the repository."""
    flagfile = f"--flagfile=configs/{config}.flags"
    extra = shlex.split(_EXTRA.value)
    line = ["python", "tools/train.py", flagfile, *extra, f"--seed={seed}"]
    return shlex.join([*line, f"--run_dir={directory}"])


def run(line: str, directory: pathlib.Path) -> dict | None:
    """Trains by a command, unless that is done, and returns its evaluation; None if it failed."""
    finished, results = directory / "compare.txt", directory / "results.json"
    if not (finished.exists() and finished.read_text(encoding="utf-8") == line):
        print(f"compare: {line}", flush=True)
        results.unlink(missing_ok=True)
        _, tool, flagfile, *rest = shlex.split(line)
        flag, name = flagfile.split("=")
        program = [sys.executable, str(REPOSITORY / tool), f"{flag}={REPOSITORY / name}", *rest]
        # A run that was interrupted ends well, without results.
        if subprocess.run(program).returncode or not results.exists():
            return None
        finished.write_text(line, encoding="utf-8")
    return json.loads(results.read_text(encoding="utf-8"))


def rows(found: dict[str, dict[str, dict]]) -> list[str]:
    """The table: a row for each measure, a column for each configuration with a finished run.

    The untrained encoder, or the weights that it started from, and chance are those of the first
    configuration.
    """
    found = {config: runs for config, runs in found.items() if runs}
    if not found:
        return ["No run finished."]
    heads = [
        f"{config} ({len(runs)} seed{'s' if len(runs) > 1 else ''})"
        for config, runs in found.items()
    ]
    first = next(iter(found.values()))
    one = next(iter(first.values()))
    beside = {name: BASELINES[name] for name in BASELINES if name in one} | {"chance": "chance"}
    lines = [
        "| measure, mean ± standard deviation | " + " | ".join([*heads, *beside.values()]) + " |",
        "|---|" + "---:|" * (len(heads) + len(beside)),
    ]
    names = {
        name: None for runs in found.values() for one in runs.values() for name in one["trained"]
    }
    known = figures()
    kl_of = one["meta"]["kl_of"]
    for name in names:
        figure = known.get(name, Figure(name, name, "{:.4g}"))
        title = figure.title.strip().replace("{kl_of}", kl_of)
        cells = [cell(figure, runs, "trained") for runs in found.values()]
        cells += [cell(figure, first, column) for column in beside]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def cell(figure: Figure, runs: dict[str, dict], column: str) -> str:
    """Mean over the runs, and the sample standard deviation where there are several."""
    values = [one[column].get(figure.name) for one in runs.values()]
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    text = figure.format.format(np.mean(values))
    if len(values) < 2 or column == "chance":
        return text
    return f"{text} ± {figure.format.format(np.std(values, ddof=1)).rstrip('%')}"


if __name__ == "__main__":
    app.run(main)
