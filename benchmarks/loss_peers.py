"""Our losses against other people's: NT-Xent, SupCon, CLIP and SigLIP, values and gradients.

    python benchmarks/loss_peers.py --torch_python=OTHER_ENVIRONMENT/bin/python

The others run in an environment of their own (loss_peers_torch.py); both sides compute in float32.
Prints a table of the largest differences, as shares of the largest element, and exits 1 where one
is above 1e-5.
"""

import pathlib
import subprocess
import tempfile
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from absl import app, flags
from environment import environment

from xsample_tf import graphs, losses

_TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", None, "Python of an environment with the other libraries.", required=True
)
_SIZES = flags.DEFINE_list("images", ["64", "1024"], "Numbers of images.")

TOLERANCE = 1e-5
SCALE, BIAS = 10.0, -10.0
PEERS = {
    "NT-Xent": "lightly",
    "SupCon": "pytorch-metric-learning",
    "CLIP": "open-clip-torch",
    "SigLIP": "open-clip-torch",
}


def main(arguments: list[str]) -> None:
    sizes = [int(size) for size in _SIZES.value]
    given = inputs(sizes)
    theirs = peers(given)
    versions = dict(line.split() for line in theirs["versions"])
    head = ("loss", "against", "images", "form", "value", "embeddings", "scale", "bias")
    lines = [" | ".join(["", *head, ""]).strip(), "|---|---|---:|---|---:|---:|---:|---:|"]
    worst = 0.0
    for name, peer in PEERS.items():
        for size in sizes:
            for form in ("dense", "tiled"):
                errors = differences(ours(name, form, given, size), theirs, f"{name}_{size}")
                worst = max(worst, *errors.values())
                cells = [f"{errors[k]:.1e}" if k in errors else "" for k in head[4:]]
                row = [name, f"{peer} {versions[peer]}", f"{size:,}", form, *cells]
                lines.append(f"| {' | '.join(row)} |")
    described = f"- PyTorch {versions['torch']}; float32, 128 numbers, scale 10, SigLIP's bias -10."
    print("\n".join([*(f"- {line}" for line in environment()), described, "", *lines]))
    if not worst <= TOLERANCE:
        raise SystemExit(f"a difference of {worst:.1e}, expected at most {TOLERANCE:g}")


def inputs(sizes: list[int]) -> dict[str, np.ndarray]:
    """For each size pairs `[N, 2, D]` that are alike and labels `[N]` of 10 classes."""
    random = np.random.default_rng(0)
    given = {"sizes": np.array(sizes), "scale": np.float32(SCALE), "bias": np.float32(BIAS)}
    for size in sizes:
        image = random.standard_normal((size, 1, 128), np.float32)
        noise = random.standard_normal((size, 2, 128), np.float32)
        given |= {f"pairs_{size}": image + noise, f"labels_{size}": np.arange(size) % 10}
    return given


def peers(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What loss_peers_torch.py makes of the inputs."""
    program = pathlib.Path(__file__).with_name("loss_peers_torch.py")
    with tempfile.TemporaryDirectory() as directory:
        paths = [pathlib.Path(directory, name) for name in ("inputs.npz", "results.npz")]
        np.savez(paths[0], **given)
        subprocess.run([_TORCH_PYTHON.value, program, *paths], check=True)
        return dict(np.load(paths[1]))


def ours(
    name: str, form: str, given: Mapping[str, np.ndarray], size: int
) -> dict[str, np.ndarray | None]:
    """The mean loss and its gradients, in one form."""
    settings = {"implementation": form}
    loss, side = {
        "NT-Xent": (losses.XSampleContrastiveLoss(graphs.InstanceGraph(), **settings), None),
        "SupCon": (
            losses.XSampleContrastiveLoss(graphs.LabelGraph(), **settings),
            given[f"labels_{size}"],
        ),
        "CLIP": (losses.ImageTextContrastiveLoss(**settings), None),
        "SigLIP": (losses.SigmoidContrastiveLoss(**settings), None),
    }[name]
    sources = {
        "embeddings": tf.constant(given[f"pairs_{size}"]),
        "scale": tf.constant(given["scale"]),
        "bias": tf.constant(given["bias"]),
    }
    learned = {"bias": sources["bias"]} if name == "SigLIP" else {}
    with tf.GradientTape() as tape:
        tape.watch(list(sources.values()))
        learned["temperature"] = 1 / sources["scale"]
        value = tf.reduce_mean(loss.rows(side, sources["embeddings"], **learned)[0])
    return {"value": value, **tape.gradient(value, sources)}


def differences(
    found: Mapping[str, np.ndarray | None], theirs: Mapping[str, np.ndarray], prefix: str
) -> dict[str, float]:
    """The largest difference of each result that the others have."""
    errors = {}
    for name, value in found.items():
        expected = theirs.get(f"{prefix}_{name}")
        if expected is not None:
            errors[name] = float(np.abs(value - expected).max() / np.abs(expected).max())
    return errors


if __name__ == "__main__":
    app.run(main)
