"""Several worker processes through `tools/train.py`: one run, whatever happens to a worker."""

import json
import os
import pathlib
import signal
import socket
import subprocess

import numpy as np
import pytest
from helpers import tiny_data
from helpers.small_model import small_encoder
from helpers.workers import started

from xsample_tf import models
from xsample_tf.errors import InputError
from xsample_tf.training import Options, load_encoder, train
from xsample_tf.training.distributed import cluster
from xsample_tf.training.distributed.cluster import cluster_from_environment, read_cluster
from xsample_tf.training.distributed.strategy import make_strategy

SETTINGS = {
    "backbone": "resnet18",  # A smaller one stands for it.
    "image_size": 8,
    "projector_hidden": 16,
    "projector_dim": 8,
    "batch_size": 12,
    "steps": 18,
    "warmup_epochs": 1.0,
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "blur": False,
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


def test_any_workers_continue_a_run_through_a_death_and_a_signal(directory, tmp_path, monkeypatch):
    monkeypatch.setattr(
        models, "backbone", lambda name, image_size, **unused: small_encoder(image_size)
    )
    alone = Options(data_dir=(directory,), run_dir=str(tmp_path / "alone"), **SETTINGS)
    train(alone, log=lambda line: None, finish=False)

    run_dir = tmp_path / "run"
    command = flags(data_dir=directory, run_dir=run_dir)
    codes, printed = run([command] * 3, "step 6/18", lambda workers: workers[2].kill())
    assert codes == [1, 1, -signal.SIGKILL], printed
    for text in printed[:2]:
        last = text.strip().splitlines()[-1]
        assert last.startswith("error: worker 2 (localhost:") and "same command" in last
        assert "Traceback" not in text

    codes, printed = run([command] * 2, "step 12/18", lambda workers: workers[1].terminate())
    assert codes == [0, 0], printed
    assert "continuing at step" in printed[0] and "stopped by a signal to another" in printed[0]
    assert "stopped by SIGTERM" in printed[1] and "step 12/18" not in printed[1]

    codes, printed = run([command] * 2)
    assert codes == [0, 0], printed
    assert {"export", "results.json", "run.flags"} < set(os.listdir(run_dir))
    assert os.listdir(run_dir / "checkpoints").count("step-00000018") == 1
    ours, expected = lines_of(run_dir), lines_of(alone.run_dir)
    assert [line["step"] for line in ours] == [line["step"] for line in expected]
    for one, two in zip(ours, expected, strict=True):
        assert one == pytest.approx(two, rel=1e-3, abs=1e-5)
    for one, two in zip(
        load_encoder(str(run_dir))[0].weights,
        load_encoder(alone.run_dir)[0].weights,
        strict=True,
    ):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)


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


@pytest.mark.parametrize(
    "config, words",
    [
        ("{'cluster'", "expected JSON such as"),
        ([], "expected 'TF_CONFIG' as in"),
        ({"clutser": TWO, "task": TASK}, "expected 'cluster' as in .*received 'clutser', 'task'"),
        ({"cluster": TWO}, "expected 'task' as in"),
        ({"cluster": {"workers": ["a:1"]}, "task": TASK}, "'workers'; did you mean 'worker'"),
        ({"cluster": {"worker": "a:1"}, "task": TASK}, "expected 'worker' as in"),
        ({"cluster": {"worker": ["a:1", 5]}, "task": TASK}, "addresses HOST:PORT as 'worker'"),
        ({"cluster": {"worker": ["a"]}, "task": TASK}, "HOST:PORT.*received 'a'"),
        ({"cluster": {"worker": ["a:99999"]}, "task": TASK}, "port below 65536"),
        ({"cluster": {"worker": ["a:1", "a:1"]}, "task": TASK}, "'a:1' twice"),
        ({"cluster": TWO, "task": {"type": "worker"}}, "expected 'index'"),
        ({"cluster": TWO, "task": {"type": "work", "index": 0}}, "task type of the cluster"),
        ({"cluster": TWO, "task": {"type": "worker", "index": 2}}, "index from 0 to 1, received 2"),
        ({"cluster": TWO, "task": {"type": "worker", "index": "x"}}, "received 'x'"),
        ({"cluster": {"chief": ["a:1", "b:1"]}, "task": TASK}, "expected one chief, received 2"),
    ],
)
def test_mistakes_in_tf_config_are_named(config, words, monkeypatch):
    text = config if isinstance(config, str) else json.dumps(config)
    with pytest.raises(InputError, match=f"TF_CONFIG: .*{words}"):
        read_cluster(text)


def test_the_chief_comes_first():
    jobs = {"worker": ["a:1", "b:2"], "chief": ["c:3"]}
    found = read_cluster(json.dumps({"cluster": jobs, "task": {"type": "worker", "index": "1"}}))
    assert (found.addresses, found.index) == (("c:3", "a:1", "b:2"), 2)


def test_a_cluster_that_cannot_be_reached_is_refused_before_anything_else(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for addresses, words in (
            ([f"localhost:{port}", "localhost:9"], f"a free port, received {port}"),
            (["localhost:9", "no-such-host.invalid:9"], "names are known here, received 'no-such"),
        ):
            config = {"cluster": {"worker": addresses}, "task": TASK}
            monkeypatch.setenv("TF_CONFIG", json.dumps(config))
            with pytest.raises(InputError, match=words):
                make_strategy("auto")


def test_whom_a_worker_waits_for_is_said(monkeypatch):
    with socket.socket() as free, socket.socket() as there:
        for one in (free, there):
            one.bind(("localhost", 0))
        own, other = (f"localhost:{one.getsockname()[1]}" for one in (free, there))
        free.close()
        monkeypatch.setattr(cluster, "_NOTICE_SECONDS", 0.0)

        def come(line):
            lines.append(line)
            there.listen()

        lines = []
        cluster.wait_for_workers(cluster.Cluster((own, other), 0), come)
    assert lines[0] == f"waiting for worker 1 ({other})"


def test_a_slurm_step_is_a_cluster_in_the_order_of_its_tasks(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "")
    with pytest.raises(InputError, match="multi_worker: expected TF_CONFIG"):
        cluster_from_environment("multi_worker")
    step = {
        "SLURM_PROCID": "1",
        "SLURM_STEP_NUM_TASKS": "3",
        "SLURM_STEP_NODELIST": "n[9-11]",
        "SLURM_STEP_TASKS_PER_NODE": "1(x3)",
        "SLURMD_NODENAME": "n10",
    }
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    assert cluster_from_environment("auto") is None  # The tasks may be runs of their own.
    found = cluster_from_environment("multi_worker")
    assert (found.addresses, found.index) == (("n9:8888", "n10:8888", "n11:8888"), 1)
    for name, value in (("SLURMD_NODENAME", "n9"), ("SLURM_STEP_TASKS_PER_NODE", "?")):
        monkeypatch.setenv("TF_CONFIG", "")
        monkeypatch.setenv(name, value)
        with pytest.raises(InputError, match="SLURM: expected"):
            cluster_from_environment("multi_worker")


def test_a_tpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("TPU_NAME", "local")
    with pytest.raises(InputError, match="expected a TPU, TPU_NAME=local has none"):
        make_strategy("tpu")
