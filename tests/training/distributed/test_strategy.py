"""The strategy that a run asks for, and what of it is not there."""

import json
import socket

import pytest

from xsample_tf.errors import InputError
from xsample_tf.training.distributed.strategy import make_strategy

TASK = {"type": "worker", "index": 0}


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


def test_a_tpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("TPU_NAME", "local")
    with pytest.raises(InputError, match="expected a TPU, TPU_NAME=local has none"):
        make_strategy("tpu")


@pytest.mark.parametrize("name, replicas", [("auto", 1), ("one_device", 1), ("mirrored", 4)])
def test_the_name_decides_how_many_devices_train(name, replicas):
    """`auto` takes several GPUs, but one CPU only; all tests see four logical CPU devices."""
    assert make_strategy(name).num_replicas_in_sync == replicas
