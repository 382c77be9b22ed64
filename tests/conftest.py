"""Fixtures shared by all tests."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As the tools do.

import pytest
import tensorflow as tf
from helpers import small_run

from xsample_tf import data, models, text

# Four logical devices, so that what must hold on several replicas can be tested on one CPU.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)


def _without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset that an iterator is made of, unless it says itself whether it is tuned.

    The thread of tf.data's autotuning is sometimes not woken when its iterator is destroyed: at
    the end of `fit` on several replicas a test then waits for up to a minute.
    """
    if dataset.options().autotune.enabled is not None:
        return dataset
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


# All iterators are made through it; no public option reaches those of a strategy's devices.
assert hasattr(tf.data.Dataset, "_apply_debug_options"), "see _without_autotuning"
tf.data.Dataset._apply_debug_options = _without_autotuning

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


@pytest.fixture(scope="session")
def scenes_directory(tmp_path_factory) -> str:
    """64 generated scenes to train on and 16 to evaluate on, with vectors of the lexical encoder.

    For tests that leave it as it is.
    """
    directory = tmp_path_factory.mktemp("scenes")
    data.prepare(
        "scenes:count=64,size=32",
        directory,
        encoders=[text.load_encoder("lexical")],
        options=data.SourceOptions(validation_fraction=0.25),
        log=lambda line: None,
    )
    return str(directory)


@pytest.fixture(scope="module")
def small_backbone():
    """Every backbone that a run asks for by name is a small one, traced in a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "backbone", small_run.backbone)
        yield


def _shared(name: str, what: str) -> pathlib.Path:
    directory = REPOSITORY.parent / "shared" / name
    if not directory.is_dir():
        pytest.skip(f"{what} (../shared/{name}) are not on this machine")
    return directory
