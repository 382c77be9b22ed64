"""Starts two worker processes of one cluster, as a user would on two machines."""

import json
import os
import pathlib
import socket
import subprocess
import sys

HELPERS = pathlib.Path(__file__).parent


def run_two_workers(script, given):
    """What each worker prints last, as JSON; `given` goes to both as a line of JSON."""
    cluster = {"worker": [f"localhost:{_free_port()}" for _ in range(2)]}
    workers = []
    for index in range(2):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        settings = {"TF_CONFIG": json.dumps(task), "CUDA_VISIBLE_DEVICES": ""}
        workers.append(
            subprocess.Popen(
                [sys.executable, HELPERS / script],
                env=os.environ | settings,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    try:
        for worker in workers:
            worker.stdin.write(json.dumps(given) + "\n")
            worker.stdin.flush()
        printed = [worker.communicate(timeout=300)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0]
    return [json.loads(text.splitlines()[-1]) for text in printed]


def _free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]
