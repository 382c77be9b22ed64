"""The cluster of a run on several machines: `TF_CONFIG`, checked, or what SLURM says instead."""

import dataclasses
import json
import os
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from xsample_tf.errors import InputError, suggest

_EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)
_NOTICE_SECONDS = 30.0
_JOBS = ("chief", "worker")  # In the order of their rows in the batch.


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a run.

    Attributes:
        addresses: "HOST:PORT" of each, in the order of their rows in the batch; the first is the
            chief, which alone writes.
        index: Which of them this process is.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def others(self) -> dict[str, str]:
        """Names of the other workers for messages, by address."""
        return {
            address: f"worker {index} ({address})"
            for index, address in enumerate(self.addresses)
            if index != self.index
        }


def cluster_from_environment(strategy: str) -> Cluster | None:
    """The cluster of workers of a run, None where it has none.

    A SLURM job step without a `TF_CONFIG` becomes one, for TensorFlow to read.

    Args:
        strategy: "multi_worker" needs a cluster; "auto" takes one of several workers that
            `TF_CONFIG` names, since tasks of a SLURM step may be runs of their own.

    Raises:
        InputError: `TF_CONFIG` or the job step has a mistake, or there is none.
    """
    text = os.environ.get("TF_CONFIG", "")
    if strategy == "multi_worker" and not text and "SLURM_PROCID" in os.environ:
        text = os.environ["TF_CONFIG"] = json.dumps(_from_slurm())
    if strategy == "multi_worker":
        if not text:
            raise InputError(
                "strategy: multi_worker: expected TF_CONFIG, or a SLURM job step (srun), received "
                f"neither; TF_CONFIG is JSON such as {_EXAMPLE}"
            )
        return read_cluster(text)
    if strategy == "auto" and text:
        found = read_cluster(text)
        return found if len(found.addresses) > 1 else None
    return None


def read_cluster(text: str) -> Cluster:
    """Reads a `TF_CONFIG`.

    Raises:
        InputError: It is not what TensorFlow documents, an address is none, or this process is none
            of the workers.

    Example:
        >>> read_cluster(os.environ["TF_CONFIG"]).index
        0
    """
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _mistake(f"JSON such as {_EXAMPLE}", f"{text!r} ({error})") from None
    jobs = _member(_member({"TF_CONFIG": config}, "TF_CONFIG", dict), "cluster", dict)
    task = _member(config, "task", dict)
    for job in jobs:
        if job not in _JOBS:
            raise _mistake("the jobs chief and worker", f"{job!r}; {suggest(job, _JOBS)}")
        if not all(isinstance(item, str) for item in _member(jobs, job, list)):
            raise _mistake(f"addresses HOST:PORT as {job!r}", repr(jobs[job]))
    if len(jobs.get("chief", ())) > 1:
        raise _mistake("one chief", f"{len(jobs['chief'])}")
    names = [(job, index) for job in _JOBS for index in range(len(jobs.get(job, ())))]
    addresses = [jobs[job][index] for job, index in names]
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not (host and port.isdecimal() and 0 < int(port) < 65536):
            raise _mistake("addresses HOST:PORT with a port below 65536", repr(address))
        if addresses.count(address) > 1:
            raise _mistake("another address for each worker", f"{address!r} twice")
    job, index = _member(task, "type", str), _member(task, "index", int | str)
    if job not in jobs:
        raise _mistake(f"a task type of the cluster, {' or '.join(jobs)}", repr(job))
    if (job, int(index) if str(index).isdecimal() else index) not in names:
        raise _mistake(f"a task index from 0 to {len(jobs[job]) - 1}", repr(index))
    return Cluster(tuple(addresses), names.index((job, int(index))))


def wait_for_workers(cluster: Cluster, log: Callable[[str], None]) -> None:
    """Returns when all workers of a cluster are there, and says whom it waits for.

    TensorFlow waits for them too, but says nothing and cannot be interrupted meanwhile.

    Raises:
        InputError: Some host is unknown, or the own port is taken.
    """
    for address in cluster.addresses:
        try:
            socket.getaddrinfo(*_split(address))
        except OSError as error:
            raise _mistake("hosts whose names are known here", f"{address!r} ({error})") from None
    _, port = _split(cluster.addresses[cluster.index])
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", port))
        except OSError as error:
            raise _mistake(
                "a free port",
                f"{port} ({error.strerror}); does another run, or another worker with the same "
                "index, use it?",
            ) from None
        listener.listen(len(cluster.addresses))
        missing, notice = cluster.others, time.monotonic() + _NOTICE_SECONDS
        while missing := {
            address: name for address, name in missing.items() if not is_listening(address)
        }:
            if time.monotonic() > notice:
                log(f"waiting for {', '.join(missing.values())}")
                notice = time.monotonic() + _NOTICE_SECONDS
            time.sleep(0.5)


def is_listening(address: str) -> bool:
    """Whether somebody listens at "HOST:PORT"."""
    try:
        socket.create_connection(_split(address), timeout=2).close()
    except OSError:
        return False
    return True


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _member(container: dict[str, Any], name: str, kind: Any) -> Any:
    if name not in container:
        raise _mistake(
            f"{name!r} as in {_EXAMPLE}", f"{', '.join(map(repr, container)) or 'nothing'}"
        )
    if not isinstance(container[name], kind):
        raise _mistake(f"{name!r} as in {_EXAMPLE}", repr(container[name]))
    return container[name]


def _mistake(expected: str, received: str) -> InputError:
    return InputError(f"TF_CONFIG: expected {expected}, received {received}")


def _from_slurm() -> dict[str, Any]:
    """The job step as a `TF_CONFIG`: a worker for each task, with the GPUs that SLURM gave it."""
    try:
        # Of the resolver, the hosts and ports alone: its count of GPUs cannot be none.
        tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            gpus_per_node=tasks,
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        addresses = resolver.cluster_spec().as_dict()["worker"]
    except (KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"SLURM: expected the variables of a job step (srun): {error}") from None
    # It sorts hosts by letter, n10 before n9; SLURM counts its tasks by number.
    addresses.sort(
        key=lambda text: [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", text)]
    )
    index = int(os.environ["SLURM_PROCID"])
    own = os.environ.get("SLURMD_NODENAME")
    if own and addresses[index].rpartition(":")[0] != own:
        raise InputError(
            f"SLURM: expected task {index} on {addresses[index]}, received {own}; start the tasks "
            "with srun --distribution=block, or set TF_CONFIG"
        )
    return {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
