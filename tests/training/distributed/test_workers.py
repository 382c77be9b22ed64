"""Several worker processes through `tools/train.py`: one run, whatever happens to a worker."""

import json
import os
import pathlib
import signal
import subprocess

import numpy as np
import pytest
from helpers import small_run, tiny_data
from helpers.workers import started

from xsample_tf.training import Options, load_encoder, train

pytestmark = pytest.mark.usefixtures("small_backbone")

SETTINGS = small_run.SETTINGS | {
    "batch_size": 12,
    "steps": 18,
    "log_every_steps": 3,
    "checkpoint_every_steps": 3,
}


def flags(**settings):
    return [
        f"--no{name}" if value is False else f"--{name}={value}"
        for name, value in (SETTINGS | settings).items()
    ]


def run(arguments, at=None, do=None):
    """Exit status and output of each worker; `do` gets them when the chief prints `at`."""
    with started("train_small.py", arguments, stderr=subprocess.STDOUT) as workers:
        seen = ""
        while at and at not in seen:
            line = workers[0].stdout.readline()
            assert line, seen
            seen += line
        if do:
            do(workers)
        printed = [worker.communicate(timeout=600)[0] for worker in workers]
        printed[0] = seen + printed[0]
        return [worker.returncode for worker in workers], printed


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tiny_data.write(tmp_path_factory.mktemp("data"), labelled=False)


def lines_of(run_dir):
    return [json.loads(line) for line in pathlib.Path(run_dir, "metrics.jsonl").open()]


@pytest.mark.slow
def test_any_workers_continue_a_run_through_a_death_and_a_signal(directory, tmp_path):
    """Slow: seven processes import TensorFlow and trace the step, two minutes of two cores."""
    alone = Options(data_dir=(directory,), run_dir=str(tmp_path / "alone"), **SETTINGS)
    train(alone, log=lambda line: None, finish=False)
    run_dir = tmp_path / "run"
    command = flags(data_dir=directory, run_dir=run_dir)

    # A worker of three dies: the others end with an error, in one line.
    codes, printed = run([command] * 3, "step 6/18", lambda workers: workers[2].kill())
    assert codes == [1, 1, -signal.SIGKILL], printed
    for text in printed[:2]:
        last = text.strip().splitlines()[-1]
        assert last.startswith("error: worker 2 (localhost:") and "same command" in last
        assert "Traceback" not in text

    # Two continue, until one of them is told to stop: both save and end well.
    codes, printed = run([command] * 2, "step 12/18", lambda workers: workers[1].terminate())
    assert codes == [0, 0], printed
    assert "continuing at step" in printed[0] and "stopped by a signal to another" in printed[0]
    assert "stopped by SIGTERM" in printed[1] and "step 12/18" not in printed[1]

    # The same command finishes the run.
    codes, printed = run([command] * 2)
    assert codes == [0, 0], printed
    assert {"export", "results.json", "run.flags"} < set(os.listdir(run_dir))
    assert os.listdir(run_dir / "checkpoints").count("step-00000018") == 1

    # It is the run that one process made undisturbed.
    assert_same_run(run_dir, alone.run_dir)


def assert_same_run(run_dir, expected):
    pairs = zip(lines_of(run_dir), lines_of(expected), strict=True)
    for one, two in pairs:
        assert one == pytest.approx(two, rel=1e-3, abs=1e-5)
    weights = [load_encoder(str(path))[0].weights for path in (run_dir, expected)]
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)


@pytest.mark.slow  # Several processes import TensorFlow.
def test_workers_with_other_settings_or_data_are_told_which(directory, tmp_path):
    command = flags(data_dir=directory, run_dir=tmp_path / "run")
    other = tiny_data.write(tmp_path / "data", train=60, labelled=False)
    codes, printed = run([command, [*command, "--temperature=0.2", f"--data_dir={other}"]])
    assert codes == [2, 2]
    for text in printed:
        last = text.strip().splitlines()[-1]
        assert "temperature 0.1 on worker 0 and 0.2 on worker 1" in last
        assert "dataset.json of data_dir 0" in last
    assert not (tmp_path / "run").exists()


TASK = {"type": "worker", "index": 0}
TWO = {"worker": ["a:1", "b:2"]}
