"""Every configuration parses, and trains two steps on generated data."""

import functools
import json
import pathlib
import re
import sys

import command_line
import numpy as np
import pytest
import tensorflow as tf
import train as train_tool
from helpers import small_run

from xsample_tf import evaluation, models, training
from xsample_tf.errors import InputError

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.flags"))


# With their own ResNet-18 and ResNet-50; a small backbone stands for those of the other configs,
# which take a minute and more to trace.
WHOLE, REAL = "quickstart", "imagenet"


def run_two_steps(config, scenes_directory, run_dir, capsys):
    """The tool with the config's flags, but for the data, and as few and small images as can be."""
    arguments = ["train", f"--flagfile={config}", f"--data_dir={scenes_directory}", "--steps=2"]
    command_line.parse([*arguments, "--batch_size=8", "--image_size=32", f"--run_dir={run_dir}"])
    train_tool.main()
    printed = capsys.readouterr().out
    assert "step 2/2" in printed and "(command line)" in printed
    # The run's own flags say the same again.
    command_line.parse(["train", f"--flagfile={run_dir}/run.flags"])
    again = {name: value for name, value, _ in command_line.settings()}
    assert (again["steps"], again["batch_size"], again["run_dir"]) == (2, 8, str(run_dir))
    return printed


@pytest.mark.parametrize(
    "config", [path for path in CONFIGS if path.stem != WHOLE], ids=lambda path: path.stem
)
def test_config_runs_two_steps(config, scenes_directory, tmp_path, monkeypatch, capsys):
    if config.stem != REAL:
        monkeypatch.setattr(models, "backbone", small_run.backbone)
    # What follows the steps is the same for all and has tests of its own.
    monkeypatch.setattr(training, "train", functools.partial(training.train, finish=False))
    monkeypatch.setattr(evaluation, "evaluate", lambda *arguments, **more: {"trained": {}})
    printed = run_two_steps(config, scenes_directory, tmp_path, capsys)
    weights = float(re.search(r"(\d+\.\d) M weights", printed).group(1))
    assert (weights > 20) == (config.stem == REAL)


def test_the_quickstart_runs_two_steps_and_is_evaluated_and_exported(
    scenes_directory, tmp_path, capsys
):
    printed = run_two_steps(
        next(path for path in CONFIGS if path.stem == WHOLE), scenes_directory, tmp_path, capsys
    )
    assert "model: resnet18, 11.5 M weights with its projector" in printed
    assert "kNN top-1 accuracy" in printed
    scores = json.loads((tmp_path / "results.json").read_text())
    assert scores["trained"].keys() == scores["untrained"].keys()
    encoder, settings = training.load_encoder(str(tmp_path))
    assert (settings["backbone"], settings["step"]) == ("resnet18", 2)
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    exported = tf.saved_model.load(str(tmp_path / "export" / "saved_model"))
    embedding = exported.signatures["serving_default"](tf.constant(images))["embedding"]
    np.testing.assert_allclose(embedding, encoder(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_config_says_what_it_is(config):
    header = config.read_text().split("\n--")[0]
    for words in ("# What:", "# Data:"):
        assert words in header
    command_line.parse(["train", f"--flagfile={config}"])
    if config.stem != "quickstart":
        assert command_line.header_command("prepare_data.py").startswith(
            "python tools/prepare_data.py --source="
        )


def test_without_shards_the_command_that_makes_them_is_printed(tmp_path, monkeypatch, capsys):
    config = next(path for path in CONFIGS if path.stem == "cc3m")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", f"--flagfile={config}"])
    with pytest.raises(SystemExit) as caught:
        command_line.run(train_tool.main, "Trains.")
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "python tools/prepare_data.py --source=table:cc3m/*.parquet --image_column=jpg" in error
    assert not (tmp_path / "runs").exists()


def test_two_lengths_in_one_place_are_refused(tmp_path):
    config = tmp_path / "a.flags"
    config.write_text("--epochs=3\n--steps=4\n")
    command_line.parse(["train", f"--flagfile={config}"])
    with pytest.raises(InputError, match="received both"):
        train_tool.main()
