"""What every table of these benchmarks says beside its figures."""

import datetime
import os
import pathlib
import platform
from importlib import metadata

PACKAGES = ("xsample_tf", "tensorflow", "keras", "numpy")


def environment(seeds: str = "seed 0") -> list[str]:
    """The machine, the versions, the date and the seeds, as lines of Markdown."""
    cpu = platform.processor() or platform.machine()
    information = pathlib.Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    return [
        f"{cpu}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}; "
        f"{datetime.date.today().isoformat()}; {seeds}."
    ]
