"""Kills short runs at random moments, again and again, and compares what they come to.

    python benchmarks/fault_drill.py --output=runs/drill
    python benchmarks/fault_drill.py --output=runs/drill2 --workers=2 --kills=5

A run is `tools/train.py` on generated scenes, its data made by itself. One goes undisturbed. Others
get SIGKILL at a moment drawn evenly over the undisturbed one's processor time, from the start of
the process to its end (the clock would count what else the machine does, too), and the same command
then continues them, until they finish or `--kills` are spent; the last one is then left to finish.
With several workers one of them, drawn too, is killed, and the others must end by themselves.

Prints and writes OUTPUT/fault_drill.md: machine, versions, date, command and a row a kill. Exits 1
where a finished run's weights, optimizer, metrics or results differ from the undisturbed one's.
"""

import dataclasses
import json
import math
import os
import pathlib
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

from absl import app, flags
from environment import environment

_OUTPUT = flags.DEFINE_string("output", "runs/fault_drill", "Where the runs and the table go.")
_KILLS = flags.DEFINE_integer("kills", 20, "How many kills in all.", lower_bound=1)
_WORKERS = flags.DEFINE_integer("workers", 1, "Processes of a run, on this machine.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments and the victims.")

REPOSITORY = pathlib.Path(__file__).parents[1]
# A minute for the peers of a killed worker, as is promised, and some for a busy machine.
_PEERS_END_WITHIN = 90
_FLAGS = shlex.split(
    "--source=scenes:count=160,size=32,seed=0 --text_encoder=lexical --backbone=resnet18 "
    "--image_size=32 --projector_hidden=64 --projector_dim=32 --noblur --batch_size=16 --epochs=6 "
    "--warmup_epochs=1 --optimizer=adamw --learning_rate=0.001 --log_every_steps=1 "
    "--checkpoint_every_steps=5 --keep=2 --keep_every_epochs=2 --evaluate_every_epochs=2 "
    "--evaluate_limit=64"
)

# By what a line of the tool begins with; the first that fits counts.
_PHASES = {
    r"preparing ": "preparing data",
    r"target: ": "evaluating at first",
    r"continuing at step (\d+) ": "continuing",
    r"tracing ": "tracing the step",
    r"epoch .* step (\d+)/\1 ": "evaluating at the end",
    r"first step|epoch |evaluation at": "training",
    r"kept checkpoint|features of": "evaluating",
    r"evaluated in": "exporting",
    r"exported": "ending",
}


@dataclasses.dataclass
class Kill:
    """One kill.

    Attributes:
        run: Number of the run.
        seconds: Of processor that the process had had.
        phase: What it was at.
        reached: The last step in the metrics; None where it had not taken over from the one before.
        continued: The step at which the next one took over.
    """

    run: int
    seconds: float
    phase: str
    reached: int | None
    continued: int | None = None

    @property
    def lost(self) -> int:
        """Steps that were taken again."""
        return 0 if self.reached is None else self.reached - self.continued


class Run:
    """A run and its processes."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        strategy = ["--strategy=multi_worker"] if _WORKERS.value > 1 else []
        self.command = [
            *("tools/train.py", *_FLAGS, *strategy),
            *(f"--data_dir={directory / 'data'}", f"--run_dir={directory / 'run'}"),
        ]
        self._processes: list[subprocess.Popen] = []
        self._log, self._said = directory / "worker-0.log", 0
        self.seconds = 0.0

    def start(self) -> None:
        """Starts, or continues, all its processes."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._log.touch()
        self._said = len(self._log.read_text(encoding="utf-8"))
        self.seconds = 0.0
        cluster = [f"localhost:{_free_port()}" for _ in range(_WORKERS.value)]
        self._processes = []
        for index in range(_WORKERS.value):
            task = {"cluster": {"worker": cluster}, "task": {"type": "worker", "index": index}}
            config = {"TF_CONFIG": json.dumps(task)} if len(cluster) > 1 else {}
            with open(self.directory / f"worker-{index}.log", "a", encoding="utf-8") as log:
                process = subprocess.Popen(
                    [sys.executable, str(REPOSITORY / self.command[0]), *self.command[1:]],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=os.environ | {"PYTHONUNBUFFERED": "1"} | config,
                )
            self._processes.append(process)

    def wait(self, seconds: float = math.inf) -> bool:
        """Whether all processes ended, with status 0, before the first used so much of a processor.

        A status other than 0 ends the drill.
        """
        while True:
            statuses = [process.poll() for process in self._processes]
            if any(statuses):
                self.kill_all()
                sys.exit(f"{self.directory} ended with status {statuses}; see its worker logs")
            if None not in statuses:
                return True
            self.seconds = self._processor_time() or self.seconds
            if self.seconds >= seconds:
                return False
            time.sleep(0.01)

    def _processor_time(self) -> float:
        """Seconds that all threads of the first process took, 0 when it is over (Linux)."""
        try:
            fields = pathlib.Path(f"/proc/{self._processes[0].pid}/stat").read_text().split(") ")[1]
        except FileNotFoundError:
            return 0.0
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def kill(self, victim: int) -> None:
        """SIGKILL for one process; its peers must end by themselves."""
        self._processes[victim].send_signal(signal.SIGKILL)
        end = time.monotonic() + _PEERS_END_WITHIN
        for process in self._processes:
            try:
                process.wait(max(end - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                self.kill_all()
                # Those that have not met yet rightly wait for each other.
                if _began(self.lines()) is not None:
                    sys.exit(f"a peer of a killed worker went on for {_PEERS_END_WITHIN} s")

    def kill_all(self) -> None:
        """Ends what is left."""
        for process in self._processes:
            process.kill()
            process.wait()

    def lines(self) -> list[str]:
        """What the chief has printed since the last start."""
        return self._log.read_text(encoding="utf-8")[self._said :].splitlines()


def main(unused_arguments: list[str]) -> None:
    output = pathlib.Path(_OUTPUT.value).absolute()
    if output.exists():
        sys.exit(f"--output: {output} exists; name a new directory")
    whole = Run(output / "undisturbed")
    whole.start()
    whole.wait()
    length = whole.seconds
    randomness = random.Random(_SEED.value)
    kills: list[Kill] = []
    finished: list[Run] = []
    while len(kills) < _KILLS.value:
        run = Run(output / f"run-{len(finished) + 1}")
        _disturb(run, len(finished) + 1, kills, length, randomness)
        finished.append(run)
    differences = [_difference(run, whole) for run in finished]
    lines = _report(whole, length, kills, differences)
    (output / "fault_drill.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    sys.exit(any(differences))


def _disturb(
    run: Run, number: int, kills: list[Kill], length: float, randomness: random.Random
) -> None:
    """Kills and continues a run until it finishes."""
    last: Kill | None = None
    while True:
        run.start()
        moment = randomness.uniform(0, length) if len(kills) < _KILLS.value else math.inf
        ended = run.wait(moment)
        if not ended:
            run.kill(randomness.randrange(_WORKERS.value))
        began = _began(run.lines())
        if last and began is not None:
            last.continued, last = began, None
        if ended:
            return
        kill = Kill(number, moment, _phase(run.lines()), None)
        if began is not None:
            steps = _metrics(run.directory / "run")
            kill.reached = steps[-1]["step"] if steps else 0
            last = kill
        kills.append(kill)
        print(f"kill {len(kills)}: run {number}, {moment:.1f} s, {kill.phase}", flush=True)


def _began(lines: list[str]) -> int | None:
    """The step at which a process took over, None where it had not come to that."""
    for line in lines:
        if line.startswith("continuing at step"):
            return int(line.split()[3])
        if line.startswith("tracing the training step"):
            return 0
    return None


def _phase(lines: list[str]) -> str:
    """What a process was at, by the last line that tells."""
    for line in reversed(lines):
        for mark, phase in _PHASES.items():
            if re.match(mark, line):
                return phase
    return "starting"


def _difference(run: Run, whole: Run) -> list[str]:
    """In what a finished run differs from the undisturbed one."""
    ours, expected = (one.directory / "run" for one in (run, whole))
    pairs = {
        "metrics.jsonl": _metrics(ours) != _metrics(expected),
        "results.json": _without_paths(ours) != _without_paths(expected),
        "weights and optimizer": _checksums(ours) != _checksums(expected),
    }
    return [name for name, differs in pairs.items() if differs]


def _metrics(directory: pathlib.Path) -> list[dict]:
    path, lines = directory / "metrics.jsonl", []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:  # What a kill left.
            break
    return lines


def _without_paths(directory: pathlib.Path) -> dict:
    results = json.loads((directory / "results.json").read_text(encoding="utf-8"))
    del results["meta"]["data_dir"]
    return results


def _checksums(directory: pathlib.Path) -> dict[str, dict]:
    """Of all state in each checkpoint that is left."""
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(directory.glob("checkpoints/*/checkpoint.json"))
    }


def _report(
    whole: Run, length: float, kills: list[Kill], differences: list[list[str]]
) -> list[str]:
    command = f"python benchmarks/fault_drill.py --kills={_KILLS.value} --workers={_WORKERS.value}"
    steps = _metrics(whole.directory / "run")[-1]["step"]
    lost = [kill.lost for kill in kills]
    return [
        *environment(),
        "",
        *("```bash", f"{command} --seed={_SEED.value} --output=OUTPUT", "```", ""),
        f"{len(kills)} kills over {len(differences)} runs of {steps} steps with a checkpoint every "
        f"5; undisturbed a run takes {length:.0f} s of processor. Steps lost: "
        f"{sum(lost) / len(lost):.1f} in the mean, {max(lost)} at most.",
        "",
        "| kill | run | after, s of processor | while | at step | continued at | steps lost |",
        "|---:|---:|---:|---|---:|---:|---:|",
        *(
            f"| {i} | {kill.run} | {kill.seconds:.1f} | {kill.phase} | "
            + (
                "| | 0 |"
                if kill.reached is None
                else f"{kill.reached} | {kill.continued} | {kill.lost} |"
            )
            for i, kill in enumerate(kills, 1)
        ),
        "",
        "| run | against the undisturbed one |",
        "|---:|---|",
        *(
            f"| {i} | {'**differs: ' + ', '.join(names) + '**' if names else 'equal bit for bit'} |"
            for i, names in enumerate(differences, 1)
        ),
    ]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


if __name__ == "__main__":
    app.run(main)
