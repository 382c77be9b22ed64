"""Which devices are named, and the reason for which one is not used."""

import ctypes

import pytest
import tensorflow as tf

from xsample_tf import devices


def test_a_cpu_is_named_where_there_is_nothing_else(monkeypatch):
    monkeypatch.setattr(devices, "find_nvidia", lambda: None)
    assert devices.describe() == "CPU"


def test_an_nvidia_device_that_is_not_used_is_named_with_the_reason(monkeypatch):
    monkeypatch.setattr(devices, "find_nvidia", lambda: "/dev/nvidia0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert devices.describe() == (
        "CPU; an NVIDIA device is there (/dev/nvidia0), but TensorFlow cannot use it: "
        "CUDA_VISIBLE_DEVICES=-1 hides it"
    )


@pytest.mark.parametrize(
    "kinds, details, words",
    [
        (["GPU", "GPU"], {"device_name": "NVIDIA H100"}, "2 GPUs (NVIDIA H100)"),
        (["GPU"], {}, "1 GPU (of an unknown name)"),
        (["TPU"] * 8, {}, "8 TPU cores"),
    ],
)
def test_accelerators_are_counted(monkeypatch, kinds, details, words):
    found = [tf.config.PhysicalDevice(kind, kind) for kind in kinds]
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind: [one for one in found if one.name == kind]
    )
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    assert devices.describe() == words


def test_an_nvidia_device_is_found_by_its_files_or_its_tool(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.find_nvidia(tmp_path) is None
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'No devices were found'\n")
    tool.chmod(0o755)
    assert devices.find_nvidia(tmp_path) is None
    tool.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\n")
    assert devices.find_nvidia(tmp_path) == "nvidia-smi"
    (tmp_path / "proc" / "driver" / "nvidia" / "gpus" / "0000:01:00.0").mkdir(parents=True)
    assert devices.find_nvidia(tmp_path) == "/proc/driver/nvidia/gpus/0000:01:00.0"
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidiactl").touch()
    (tmp_path / "dev" / "nvidia0").touch()
    assert devices.find_nvidia(tmp_path) == "/dev/nvidia0"


@pytest.mark.parametrize(
    "build, loadable, words",
    [
        ({"is_cuda_build": False}, (), "built without CUDA; pip install 'tensorflow[and-cuda]'"),
        ({}, (), "libcuda.so.1 of the driver cannot be loaded; install NVIDIA's driver"),
        (
            {},
            ("cuda", "cudart", "cublas"),
            "libcudnn.so.9 cannot be found; pip install 'tensorflow[and-cuda]'",
        ),
        ({}, ("cuda", "cudart", "cublas", "cudnn"), "TF_CPP_MIN_LOG_LEVEL=0 shows"),
    ],
)
def test_the_reason_is_the_first_thing_that_is_missing(monkeypatch, build, loadable, words):
    def load(library):
        if library.split(".")[0].removeprefix("lib") not in loadable:
            raise OSError(library)

    usual = {"is_cuda_build": True, "cuda_version": "12.5.1", "cudnn_version": "9"}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: usual | build)
    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(devices.site, "getsitepackages", lambda: [])
    assert words in devices.why_unused()
