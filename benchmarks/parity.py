"""Training parity: our SimCLR and SupCon against PyTorch with other people's losses.

    python benchmarks/parity.py --torch_python=OTHER_ENVIRONMENT/bin/python \
        --data_dir=data/cifar100 --output=runs/parity

Ours are runs of tools/train.py by configs/cifar100_simclr.flags and configs/cifar100_supcon.flags.
parity_torch.py trains ResNet-18 of its own with lightly's NTXentLoss and pytorch-metric-learning's
SupConLoss, on the views of our stream, batch by batch; both encoders get the same evaluation. Both
also take a few steps from the same weights at the full learning rate, beside PyTorch in float64.
Prints and writes OUTPUT/parity.md, and exits 1 where the loss of the same weights differs; what is
done already is not done again.
"""

import collections
import json
import pathlib
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
from absl import app, flags
from environment import environment
from parity_report import MEASURES, first_table, loss_table, probe_table

from xsample_tf import evaluation, training
from xsample_tf.files import write_text
from xsample_tf.training.objectives import Objective, make_objective
from xsample_tf.training.run_data import open_dataset, steps_per_epoch, total_steps_of
from xsample_tf.training.run_directory import read_settings

_TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", None, "Python of an environment with the other libraries.", required=True
)
_DATA_DIR = flags.DEFINE_string("data_dir", "data/cifar100", "What prepare_data wrote.")
_OUTPUT = flags.DEFINE_string("output", "runs/parity", "Where the runs and the table go.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1"], "Seeds; each trains with each.")
_EPOCHS = flags.DEFINE_integer("epochs", 4, "Length of a run, a quarter of it warm-up.")
_FIRST_STEPS = flags.DEFINE_integer("first_steps", 6, "Steps from the same weights.")

REPOSITORY = pathlib.Path(__file__).parents[1]
OBJECTIVES = {"simclr": "lightly", "supcon": "pytorch-metric-learning"}
FEATURES = 512  # Numbers of a feature vector of ResNet-18.
TOLERANCE = 1e-5


def main(arguments: list[str]) -> None:
    output = pathlib.Path(_OUTPUT.value)
    runs, first = collections.defaultdict(list), {}
    for seed in _SEEDS.value:
        for name, library in OBJECTIVES.items():
            directory = output / name / f"seed-{seed}"
            runs[name, "ours"].append(ours(name, seed, directory))
            objective = objective_of(directory / "run")
            if name not in first:
                first[name] = first_steps(objective, output / name)
            other = theirs(objective, directory)
            runs[name, f"PyTorch, {library}"].append(other)
    versions = other["versions"]
    lines = environment(f"seeds {', '.join(_SEEDS.value)}")
    lines += [", ".join(f"{name} {version}" for name, version in versions.items()) + ".", ""]
    lines += [*first_table(first), "", *probe_table(runs), "", *loss_table(runs, _EPOCHS.value)]
    (output / "parity.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    worst = max(abs(x["ours"][0] - x["float64"][0]) / x["float64"][0] for x in first.values())
    if not worst <= TOLERANCE:
        raise SystemExit(f"a difference of {worst:.1e}, expected at most {TOLERANCE:g}")


def ours(name: str, seed: str, directory: pathlib.Path) -> dict:
    """A run of the command line tool: its losses, step by step, and its evaluation."""
    command = [
        f"{REPOSITORY}/tools/train.py",
        f"--flagfile={REPOSITORY}/configs/cifar100_{name}.flags",
        f"--data_dir={_DATA_DIR.value}",
        f"--epochs={_EPOCHS.value}",
        f"--warmup_epochs={_EPOCHS.value / 4:g}",
        "--evaluate_every_epochs=0",
        "--log_every_steps=1",
        "--precision=float32",
        "--color_on=host",
        f"--seed={seed}",
        f"--run_dir={directory / 'run'}",
    ]

    def run() -> dict:
        subprocess.run([sys.executable, *command], check=True)
        results = json.loads((directory / "run" / "results.json").read_text(encoding="utf-8"))
        untrained = {name: results["untrained"][name] for name in MEASURES}
        return {"losses": losses_of(directory / "run"), "untrained": untrained} | {
            name: results["trained"][name] for name in MEASURES
        }

    return once(directory / "ours.json", command, run)


def theirs(objective: Objective, directory: pathlib.Path) -> dict:
    """PyTorch's run on the same stream as one of ours, and the same evaluation."""
    options = objective.options
    settings = peer_settings(objective)

    def run() -> dict:
        with Peer(settings) as peer:
            losses = peer.train(objective)
            results = evaluation.evaluate(
                peer.embed,
                options.data_dir[0],
                batch_size=options.batch_size,
                image_size=options.image_size,
                seed=options.seed,
            )
        return {"losses": losses, "versions": peer.versions} | {
            name: results["trained"][name] for name in MEASURES
        }

    return once(directory / "theirs.json", settings, run)


def first_steps(objective: Objective, directory: pathlib.Path) -> dict[str, list[float]]:
    """The losses of both from the same weights, without warm-up."""
    objective = objective.with_options(
        epochs=None,
        steps=_FIRST_STEPS.value,
        warmup_epochs=0.0,
        run_dir=str(directory / "first-steps"),
    )
    weights = directory / "weights.npz"
    settings = peer_settings(objective, str(weights))

    def run() -> dict:
        model = objective.make_model()
        layers = [(layer.name, layer) for layer in model.encoder.layers]
        layers += [(str(number), layer) for number, layer in enumerate(model.projector.layers)]
        values = {
            f"{name}/{variable.name}": variable.numpy()
            for name, layer in layers
            for variable in layer.trainable_variables
        }
        np.savez(weights, **values)
        training.train(objective.options, finish=False)
        losses = {"ours": losses_of(directory / "first-steps")}
        for dtype in ("float32", "float64"):
            with Peer(settings | {"dtype": dtype}) as peer:
                losses[dtype] = peer.train(objective)
        return losses

    return once(directory / "first-steps.json", settings, run)


class Peer(subprocess.Popen):
    """parity_torch.py in the other environment, to be entered.

    Args:
        settings: As `peer_settings` gives them.

    Attributes:
        versions: Of its libraries.
    """

    def __init__(self, settings: Mapping[str, object]):
        program = pathlib.Path(__file__).with_name("parity_torch.py")
        command = [_TORCH_PYTHON.value, program, json.dumps(settings)]
        super().__init__(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.versions = json.loads(self.stdout.readline())

    def train(self, objective: Objective) -> list[float]:
        """Trains on an objective's stream, and returns the loss of each step."""
        steps = length(objective.options)
        losses = []
        for views, side in objective.make_stream().take(steps).as_numpy_iterator():
            losses.append(float(self._answer(views, side["label"], size=1)[0]))
            if len(losses) % 20 == 0:
                print(f"PyTorch: step {len(losses)}/{steps}  loss {losses[-1]:.4f}", flush=True)
        return losses

    def embed(self, images: tf.Tensor) -> np.ndarray:
        """Returns features `[B, 512]` of images, after the training."""
        return self._answer(images.numpy(), size=len(images) * FEATURES).reshape(-1, FEATURES)

    def _answer(self, *arrays: np.ndarray, size: int) -> np.ndarray:
        for array in arrays:
            self.stdin.write(array.tobytes())
        self.stdin.flush()
        return np.frombuffer(self.stdout.read(8 * size), np.float64)


def peer_settings(objective: Objective, weights: str = "") -> dict[str, object]:
    """The settings of a run that PyTorch's takes over, with the file of its weights, if any."""
    options = objective.options
    names = ("objective", "seed", "batch_size", "image_size", "projector_hidden", "projector_dim")
    names += ("temperature", "learning_rate", "weight_decay", "momentum")
    return {name: getattr(options, name) for name in names} | {
        "warmup_steps": round(options.warmup_epochs * steps_per_epoch(options)),
        "total_steps": length(options),
        "weights": weights,
        "dtype": "float32",
    }


def objective_of(run_dir: pathlib.Path) -> Objective:
    """What a run was trained for."""
    options = training.Options.from_flat(read_settings(run_dir))
    return make_objective(options, open_dataset(options))


def length(options: training.Options) -> int:
    return total_steps_of(options, steps_per_epoch(options))


def losses_of(run_dir: pathlib.Path) -> list[float]:
    """The loss of each step of a run that logs each."""
    lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


def once(path: pathlib.Path, made_from: object, make: Callable[[], dict]) -> dict:
    """What `make` returns and its processor time, from a file where that was made from the same."""
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["made_from"] == made_from:
            return known["result"]
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"parity: making {path}", flush=True)
    before = processor_seconds()
    result = make()
    result["minutes"] = (processor_seconds() - before) / 60
    write_text(path, json.dumps({"made_from": made_from, "result": result}, indent=1) + "\n")
    return result


def processor_seconds() -> float:
    """Of this process, and of those that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    app.run(main)
