"""What a preflight says: lines for the screen, and the machine for the report."""

import dataclasses
import math
import pathlib
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import tensorflow as tf

from xsample_tf import devices
from xsample_tf.training.execution import compile_step, precision_policy
from xsample_tf.training.messages import describe_length, named
from xsample_tf.training.preflight import loss_checks
from xsample_tf.training.preflight.check import Check
from xsample_tf.training.preflight.rates import Rate
from xsample_tf.training.preflight.setting import OpenedRun
from xsample_tf.version import __version__

_PACKAGES = ("tensorflow", "keras", "numpy")
_PARTS = {
    "input": "input: the stream alone",
    "encoder": "encoder and projector, forward and backward",
    "loss": "loss, forward and backward",
    "step": "step: fit on a batch in memory",
    "run": "run: fit on the stream",
}


def machine() -> dict[str, Any]:
    """The devices of this machine, and the versions of what computes on them."""
    gpus = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    build = tf.sysconfig.get_build_info()
    return {
        "system": platform.platform(),
        "cpu": _cpu(),
        "cores": devices.cores(),
        "gpus": [
            {
                "name": gpu.get("device_name"),
                "compute_capability": gpu.get("compute_capability"),
            }
            for gpu in gpus
        ],
        "versions": {"xsample_tf": __version__, "python": platform.python_version()}
        | {name: metadata.version(name) for name in _PACKAGES}
        | {name: build[key] for name in ("cuda", "cudnn") if (key := f"{name}_version") in build},
    }


def _cpu() -> str:
    information = pathlib.Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def header(machine: dict[str, Any], setting: OpenedRun) -> str:
    """What is looked at, before the tables, with the warnings that `train` would print."""
    options, replicas = setting.options, setting.strategy.num_replicas_in_sync
    gpus = ", ".join(gpu["name"] for gpu in machine["gpus"]) or "no GPU"
    versions = ", ".join(
        f"{name} {machine['versions'][name]}" for name in ("xsample_tf", *_PACKAGES)
    )
    compiled, _ = compile_step(options)
    lines = [
        f"machine: {machine['cpu']}, {machine['cores']} cores; {gpus}; {versions}",
        f"data: {setting.images}",
        f"run: {named(options)}, batch {options.batch_size} of {options.views} views at "
        f"{options.image_size} pixels; {precision_policy(options)}; "
        f"{replicas} replica{'s' if replicas > 1 else ''}; XLA "
        f"{'on' if compiled else 'off, but for the tiled loss'}",
    ]
    if not setting.generated:  # Stand-ins say nothing about the run's length.
        length = describe_length(options, setting.total_steps, setting.steps_per_epoch)
        lines.append(f"length: {length}")
    lines.append(setting.objective.describe())
    return "\n".join(filter(None, lines))


def check_row(check: Check) -> str:
    """A check as a row of the table."""
    row = f"  {check.status:<9}{check.name:<52}"
    if check.error is None or math.isnan(check.error):
        return row + check.note
    row += f"error {check.error:.1e}, bound {check.bound:.0e}"
    return f"{row}; {check.note}" if check.note else row


def rate_row(part: str, rate: Rate) -> str:
    """A rate as a row of the table."""
    return (
        f"  {_number(rate.pairs_per_second):>7} pairs/s  {_PARTS[part]:<44}"
        f"batch {rate.batch_size}, {rate.steps} steps"
    )


def as_json(check: Check) -> dict[str, Any]:
    """A check as JSON has it, which knows no infinity."""
    values = dataclasses.asdict(check) | {"status": check.status}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def notes(setting: OpenedRun, rates: dict[str, Rate]) -> list[str]:
    """In what this was not the run."""
    options, small = setting.options, setting.small().options
    lines = []
    if setting.several_name != f"{setting.strategy.num_replicas_in_sync} replicas":
        lines.append(
            "the run has one device: what is said of several shows that the code is right, not "
            "that other devices are"
        )
    lines.append(
        f"steps were checked with {small.batch_size} images of {small.image_size} pixels, "
        f"the loss with {loss_checks.images_of(setting)} images"
    )
    images = rates["step"].batch_size
    if images != options.batch_size:
        lines.append(
            f"encoder, step and run were measured with {images} images a batch instead of "
            f"{options.batch_size}, which takes a CPU too long"
        )
    if setting.generated:
        lines.append(f"the data is {setting.images}")
    return lines


def footer(report: dict[str, Any], setting: OpenedRun) -> str:
    """What follows from the tables, the verdict last."""
    lines = [f"note: {line}" for line in report["notes"]]
    if report["peak_device_memory"] is not None:
        lines.append(f"peak device memory: {report['peak_device_memory'] / 2**30:.1f} GiB")
    if not setting.generated:
        pairs = setting.total_steps * setting.options.batch_size
        hours = pairs / report["rates"]["run"]["pairs_per_second"] / 3600
        time = f"{_number(hours)} hours" if hours >= 1 else f"{_number(60 * hours)} minutes"
        lines.append(f"at this rate the run's {setting.total_steps} steps take {time}")
    return "\n".join([*lines, f"verdict: {report['verdict']}"])


def verdict(checks: Sequence[Check], rates: dict[str, Rate]) -> str:
    """All of it in one line."""
    counts = [sum(check.status == kind for check in checks) for kind in ("fail", "pass", "skipped")]
    failed, passed, skipped = counts
    words = [f"{failed} of {failed + passed} checks FAILED" if failed else f"{passed} checks pass"]
    words += [f"{skipped} skipped"] if skipped else []
    return f"{', '.join(words)}; {limiting(rates)[1]}"


def limiting(rates: dict[str, Rate]) -> tuple[str, str]:
    """Which part limits the run, and by how much."""
    given, needed = rates["input"].pairs_per_second, rates["step"].pairs_per_second
    if given < needed:
        return "input", (
            f"input limits: {_number(given)} pairs/s against {_number(needed)} of the step; it "
            f"needs about {needed / given:.1f} times the {devices.cores()} cores here, or smaller "
            "images in the shards"
        )
    part = min(("encoder", "loss"), key=lambda name: rates[name].pairs_per_second)
    return part, (
        f"the {part} limits: {_number(needed)} pairs/s of the step against {_number(given)} of "
        "the input"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
