"""Which devices TensorFlow has, and why an NVIDIA device that is there may not be among them."""

import collections
import contextlib
import ctypes
import os
import pathlib
import shutil
import site
import subprocess

import tensorflow as tf


def cores() -> int:
    """Returns how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Not on macOS.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def accelerated() -> bool:
    """Whether there is a GPU or a TPU."""
    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def describe() -> str:
    """Returns in one line what TensorFlow computes on.

    Where it has neither a GPU nor a TPU and there is an NVIDIA device, the line says why that one
    is not used. TensorFlow's devices are listed, not started.

    Example:
        >>> describe()
        '2 GPUs (NVIDIA H100 80GB HBM3)'
    """
    gpus = tf.config.list_physical_devices("GPU")
    tpus = tf.config.list_physical_devices("TPU")
    if gpus:
        details = map(tf.config.experimental.get_device_details, gpus)
        names = collections.Counter(one.get("device_name", "of an unknown name") for one in details)
        return f"{_counted(len(gpus), 'GPU')} ({', '.join(names)})"
    if tpus:
        return _counted(len(tpus), "TPU core")
    found = find_nvidia()
    if found is None:
        return "CPU"
    return f"CPU; an NVIDIA device is there ({found}), but TensorFlow cannot use it: {why_unused()}"


def find_nvidia(root: pathlib.Path = pathlib.Path("/")) -> str | None:
    """Returns what shows that there is an NVIDIA device, such as "/dev/nvidia0", or None.

    Args:
        root: Directory that holds `dev` and `proc`. Defaults to the root of the file system.
    """
    for pattern in ("dev/nvidia[0-9]*", "proc/driver/nvidia/gpus/*"):
        for path in sorted(root.glob(pattern)):
            return f"/{path.relative_to(root)}"
    command = shutil.which("nvidia-smi")  # Without either, as under WSL.
    if command:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            listed = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=20)
            if listed.returncode == 0 and listed.stdout.startswith("GPU "):
                return "nvidia-smi"
    return None


def why_unused() -> str:
    """Returns the likeliest reason for which TensorFlow does not use an NVIDIA device."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={visible} hides it"
    build = tf.sysconfig.get_build_info()
    if not build.get("is_cuda_build"):
        return "it is built without CUDA; pip install 'tensorflow[and-cuda]'"
    if not _loads("libcuda.so.1"):
        return (
            "libcuda.so.1 of the driver cannot be loaded; install NVIDIA's driver, and start a "
            "container with its devices, as by docker run --gpus=all"
        )
    cuda = build["cuda_version"].split(".")[0]
    wanted = {"cudart": cuda, "cublas": cuda, "cudnn": build["cudnn_version"]}
    names = [f"lib{name}.so.{version}" for name, version in wanted.items()]
    missing = [name for name in names if not (_installed(name) or _loads(name))]
    if missing:
        return f"{', '.join(missing)} cannot be found; pip install 'tensorflow[and-cuda]'"
    return "TF_CPP_MIN_LOG_LEVEL=0 shows what TensorFlow says of it"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count > 1 else ''}"


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _installed(library: str) -> bool:
    """Whether a package of NVIDIA's on PyPI has the library, where TensorFlow looks for it."""
    folders = map(pathlib.Path, site.getsitepackages())
    return any(any(folder.glob(f"nvidia/*/lib/{library}")) for folder in folders)
