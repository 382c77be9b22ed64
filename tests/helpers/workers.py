"""Starts worker processes of one cluster, as a user would on several machines."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys

HELPERS = pathlib.Path(__file__).parent
# Where a helper script finds the other helpers, and this checkout of the package.
PYTHONPATH = os.pathsep.join([str(HELPERS.parent), str(HELPERS.parents[1])])


@contextlib.contextmanager
def started(script, arguments, **options):
    """A process of a helper script for each list of arguments; none outlives the block."""
    cluster = {"worker": [f"localhost:{_free_port()}" for _ in arguments]}
    workers = []
    try:
        for index, own in enumerate(arguments):
            task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
            settings = {
                "TF_CONFIG": json.dumps(task),
                "CUDA_VISIBLE_DEVICES": "",
                "PYTHONPATH": PYTHONPATH,
            }
            workers.append(
                subprocess.Popen(
                    [sys.executable, HELPERS / script, *own],
                    env=os.environ | settings,
                    stdout=subprocess.PIPE,
                    text=True,
                    **options,
                )
            )
        yield workers
    finally:
        for worker in workers:
            worker.kill()


def run_two_workers(script, given):
    """What each worker prints last, as JSON; `given` goes to both as a line of JSON."""
    with started(script, [[], []], stdin=subprocess.PIPE) as workers:
        for worker in workers:
            worker.stdin.write(json.dumps(given) + "\n")
            worker.stdin.flush()
        printed = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    return [json.loads(text.splitlines()[-1]) for text in printed]


def _free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]
