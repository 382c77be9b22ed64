"""Trains several configurations in turn on the same data and tabulates their evaluations.

    python benchmarks/compare.py --configs=cifar100,cifar100_simclr,cifar100_supcon \
        --output=runs/compare --extra='--data_dir=data/cifar100 --steps=180'

Prints and writes OUTPUT/compare.md: machine, versions, date, the commands, and a column a run. A
run that is there already is continued, or only evaluated again.
"""

import json
import pathlib
import shlex
import subprocess
import sys
import time

from absl import app, flags
from environment import environment

_CONFIGS = flags.DEFINE_list("configs", [], "Names of files in configs/, without their ending.")
_OUTPUT = flags.DEFINE_string("output", "runs/compare", "Where the runs and the table go.")
_EXTRA = flags.DEFINE_string("extra", "", "Further flags for every run.")

REPOSITORY = pathlib.Path(__file__).parents[1]


def main(arguments: list[str]) -> None:
    output = pathlib.Path(_OUTPUT.value)
    columns, commands = {}, []
    for config in _CONFIGS.value:
        command = [
            "tools/train.py",
            f"--flagfile=configs/{config}.flags",
            *shlex.split(_EXTRA.value),
            f"--run_dir={output / config}",
        ]
        commands.append(shlex.join(["python", *command]))
        start = time.monotonic()
        program = [sys.executable, str(REPOSITORY / command[0])]
        program += [f"--flagfile={REPOSITORY / 'configs' / config}.flags", *command[2:]]
        subprocess.run(program, check=True)
        results = json.loads((output / config / "results.json").read_text(encoding="utf-8"))
        results["trained"]["wall time, s"] = time.monotonic() - start
        columns[config] = results
    table = "\n".join([*environment(), "", "```bash", *commands, "```", "", *rows(columns)]) + "\n"
    (output / "compare.md").write_text(table, encoding="utf-8")
    print(table)


def rows(columns: dict[str, dict]) -> list[str]:
    """A row a measure, a column a run, and the first run's untrained encoder and chance."""
    first = next(iter(columns.values()))
    lines = [
        "| measure | " + " | ".join(columns) + " | untrained | chance |",
        "|---|" + "---:|" * (len(columns) + 2),
    ]
    for measure in first["trained"]:
        values = [run["trained"].get(measure) for run in columns.values()]
        values += [first["untrained"].get(measure), first["chance"].get(measure)]
        cells = ["-" if value is None else f"{value:.4g}" for value in values]
        lines.append(f"| {measure} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    app.run(main)
