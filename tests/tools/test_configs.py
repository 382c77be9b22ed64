"""Every configuration parses, and trains two steps on generated data."""

import functools
import pathlib
import sys

import command_line
import pytest
import train as train_tool

from xsample_tf import data, evaluation, text, training
from xsample_tf.errors import InputError

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.flags"))


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    data.prepare(
        "scenes:count=32,size=32",
        path,
        encoders=[text.load_encoder("lexical")],
        log=lambda line: None,
    )
    return path


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_config_runs_two_steps(config, generated, tmp_path, monkeypatch, capsys):
    # What follows the steps is the same for all and has tests of its own.
    unfinished = functools.partial(training.train, finish=False)
    monkeypatch.setattr(training, "train", unfinished)
    monkeypatch.setattr(evaluation, "evaluate", lambda *arguments, **more: {"trained": {}})
    arguments = ["train", f"--flagfile={config}", f"--data_dir={generated}", "--steps=2"]
    command_line.parse([*arguments, "--batch_size=8", "--image_size=32", f"--run_dir={tmp_path}"])
    train_tool.main()
    printed = capsys.readouterr().out
    assert "step 2/2" in printed and "(command line)" in printed
    # The run's own flags say the same again.
    command_line.parse(["train", f"--flagfile={tmp_path}/run.flags"])
    again = {name: value for name, value, _ in command_line.settings()}
    assert (again["steps"], again["batch_size"], again["run_dir"]) == (2, 8, str(tmp_path))


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
