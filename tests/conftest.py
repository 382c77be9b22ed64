"""Fixtures shared by all tests."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As the tools do.

import pytest
import tensorflow as tf

# Four logical devices, so that what must hold on several replicas can be tested on one CPU.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)

REPOSITORY = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="session")
def repository() -> pathlib.Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    return _shared("data", "real images and captions")


@pytest.fixture(scope="session")
def shared_oracles() -> pathlib.Path:
    return _shared("oracles", "numbers from other people's losses")


def _shared(name: str, what: str) -> pathlib.Path:
    directory = REPOSITORY.parent / "shared" / name
    if not directory.is_dir():
        pytest.skip(f"{what} (../shared/{name}) are not on this machine")
    return directory
