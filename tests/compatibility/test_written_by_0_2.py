"""What version 0.2 wrote goes on to be read: data, runs, exports. See make.py."""

import json
import pathlib
import shutil

import command_line
import numpy as np
import pytest
import train as train_tool
from helpers.small_model import small_encoder

from xsample_tf import data
from xsample_tf.data import views
from xsample_tf.export import load
from xsample_tf.training import load_encoder

pytestmark = pytest.mark.usefixtures("small_backbone")

WRITTEN = pathlib.Path(__file__).parent / "written_by_0_2"


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A copy to write in, which is the working directory, as it was when it was made."""
    for part in ("data", "run"):
        shutil.copytree(WRITTEN / part, tmp_path / part)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_data_directory_is_read(written):
    dataset = data.read_dataset("data")
    assert (dataset.records("train"), dataset.records("val")) == (24, 8)
    assert data.check("data") == []
    (batch, side) = next(iter(data.load("data", "train", 8, views=views.SimCLR(16))))
    assert batch.shape == (8, 2, 16, 16, 3) and side["embedding"].shape == (8, 384)
    assert not side["substituted"].numpy().any()


@pytest.mark.slow  # A run of 15 s.
def test_a_run_continues_from_its_flags_to_what_it_would_have_become(written, capsys):
    command_line.parse(["train", "--flagfile=run/run.flags"])
    train_tool.main()
    printed = capsys.readouterr().out
    assert "continuing at step 3 " in printed and "changed since" not in printed
    ours, expected = (
        lines_of(written / "run/metrics.jsonl"),
        lines_of(WRITTEN / "whole/metrics.jsonl"),
    )
    assert [line["step"] for line in ours] == [3, 6, 9]
    for one, two in zip(ours, expected, strict=True):
        assert one == pytest.approx(two, rel=1e-3, abs=1e-6)
    # The export of then and that of now are the same encoder.
    images = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)
    exports = [np.asarray(load(path)(images)) for path in ("run", WRITTEN / "whole" / "export")]
    np.testing.assert_allclose(*exports, rtol=1e-2, atol=1e-4)
    # What is new of a run's settings is beside what was there.
    settings = json.loads(pathlib.Path("run/options.json").read_text(encoding="utf-8"))
    before = json.loads((WRITTEN / "run/options.json").read_text(encoding="utf-8"))
    before["data_dir"] = [str(written / "data")]  # Whole now, for any working directory.
    assert before.items() <= settings.items()
    assert (settings["objective"], settings["imports"]) == ("xclr", [])


def test_a_run_s_encoder_is_read(written):
    encoder, settings = load_encoder("run")
    assert (settings["step"], settings["checkpoint"]) == (3, "step-00000003")
    assert encoder.output_shape == (None, 6)
    assert not np.allclose(encoder.weights[0], small_encoder(16).weights[0])
