"""A cluster from TF_CONFIG or Slurm: mistakes are named, and whom a worker waits for is said."""

import json
import socket

import pytest

from xsample_tf.errors import InputError
from xsample_tf.training.distributed import cluster
from xsample_tf.training.distributed.cluster import cluster_from_environment, read_cluster

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
