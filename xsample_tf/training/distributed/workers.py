"""What the workers of a run tell each other beside tensors, and how they notice that one is gone.

TensorFlow trains; here is what it leaves open: that all run the same thing, that an error of one
is the error of all, and that nobody waits for the dead.
"""

import contextlib
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from xsample_tf.errors import InputError, WorkerLost
from xsample_tf.training.distributed.cluster import cluster_from_environment, is_listening
from xsample_tf.training.distributed.strategy import make_strategy

_PROBE_SECONDS = 2.0
_GONE_SECONDS = 20.0  # A worker whose port is closed for so long has ended.


class Workers:
    """The processes that train a run together; a run of one process is a team of one.

    Attributes:
        strategy: What distributes the run.
        count: How many workers there are.
        index: Which of them this is, in the order of their rows in the batch.
        chief: Whether this is the one that writes and speaks.
        log: Where lines for the user go; those of other workers than the chief go nowhere.
    """

    def __init__(self, strategy: str, log: Callable[[str], None]):
        """Joins the other workers, where there are any, and returns when all have come.

        Args:
            strategy: As for `make_strategy`.
            log: Where lines for the user go.
        """
        cluster = cluster_from_environment(strategy)
        self.count = 1 if cluster is None else len(cluster.addresses)
        self.index = 0 if cluster is None else cluster.index
        self.chief = self.index == 0
        self._watch = None
        if self.count > 1:
            log(f"worker {self.index} of {self.count} at {cluster.addresses[self.index]}")
        self.strategy = distribution = make_strategy(strategy, log)
        if self.count > 1:
            self._watch = _Watch(cluster.others)
        self._sum = tf.function(
            lambda value: distribution.reduce(
                "SUM", distribution.run(tf.identity, args=(value,)), None
            ),
            input_signature=[tf.TensorSpec([], tf.float32)],
            autograph=False,
        )
        self.log = log if self.chief else lambda line: None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Ends this worker while another one is gone, which TensorFlow alone waits for at times.

        Raises:
            WorkerLost: What failed inside failed since a worker is gone.
        """
        if self._watch is None:
            yield
            return
        try:
            yield
        except tf.errors.OpError as error:
            lost = isinstance(error, tf.errors.UnavailableError | tf.errors.AbortedError)
            if lost or self._watch.absent():
                message = self._watch.describe()
                time.sleep(2 * _PROBE_SECONDS)  # For the others to see that it is not this one.
                raise WorkerLost(message) from None
            raise
        finally:
            self._watch.stop()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Waits at the end until all workers have come there; an `InputError` of one is all's.

        Nothing inside may wait for other workers.
        """
        if self.count == 1:
            yield
            return
        problem = ""
        try:
            yield
        except InputError as error:
            problem = str(error)
        for index, other in enumerate(self._exchange(problem)):
            if other:
                raise InputError(other if index == self.index else f"worker {index}: {other}")

    def agree(self, facts: dict[str, Any]) -> None:
        """Refuses workers that do not run the same thing.

        Args:
            facts: By name, what has to be the same everywhere; JSON.

        Raises:
            InputError: Naming what differs, on every worker.
        """
        everyone = self._exchange(facts)
        for index, other in enumerate(everyone):
            different = [
                f"{name} {everyone[0].get(name)!r} on worker 0 and {other.get(name)!r} on "
                f"worker {index}"
                for name in everyone[0] | other
                if everyone[0].get(name) != other.get(name)
            ]
            if different:
                raise InputError(
                    f"workers: expected the same on all of them, received {', '.join(different)}"
                )

    def from_chief(self, make: Callable[[], Any]) -> Any:
        """On every worker what `make` returns on the chief, JSON, or its `InputError`."""
        result = None
        with self.together():
            if self.chief:
                result = make()
        return self._exchange(result)[0]

    def any(self, value: bool) -> bool:
        """Whether the value is true on some worker; cheap enough for every step."""
        return value if self.count == 1 else bool(self._sum(float(value)) > 0)

    def _exchange(self, value: Any) -> list[Any]:
        """The values of all workers, JSON, in their order."""
        if self.count == 1:
            return [value]
        # As floats, which collectives of every device take; never none, at which they crash.
        text = json.dumps(value).encode()
        lengths, content = self._gather([len(text)]), self._gather(list(text))
        ends = itertools.accumulate(lengths)
        return [
            json.loads(bytes(content[end - length : end]))
            for length, end in zip(lengths, ends, strict=True)
        ]

    def _gather(self, values: list[int]) -> list[int]:
        logger = tf.get_logger()
        level = logger.level
        logger.setLevel("ERROR")  # TensorFlow warns that it traces this anew, as it always does.
        with tf.device("CPU"):
            gathered = self.strategy.gather(tf.constant(values, tf.float32), axis=0)
        logger.setLevel(level)
        return tf.cast(gathered, tf.int64).numpy().tolist()


class _Watch(threading.Thread):
    """Ends this process when a worker is gone, whatever the process is doing.

    TensorFlow notices by itself, but says so in the next collective operation only, which may be a
    long evaluation away, and never says which worker it is in words for a user. A worker is there
    while its port is open, however slow it is.
    """

    def __init__(self, others: dict[str, str]):
        super().__init__(daemon=True)
        self._others = others
        self._seen = dict.fromkeys(others, time.monotonic())
        self._stopped = threading.Event()
        self.start()

    def run(self) -> None:
        """Looks after the others until stopped."""
        while not self._stopped.wait(_PROBE_SECONDS):
            absent = self.absent()
            now = time.monotonic()
            if any(now - self._seen[address] > _GONE_SECONDS for address in absent):
                print(f"error: {self.describe()}", file=sys.stderr, flush=True)
                os._exit(1)

    def stop(self) -> None:
        """From now on the others may leave."""
        self._stopped.set()

    def describe(self) -> str:
        """Which workers are gone, and what to do."""
        deadline = time.monotonic() + _GONE_SECONDS / 2
        # A process takes a moment to end, after its connections have.
        while not (absent := self.absent()) and time.monotonic() < deadline:
            time.sleep(0.2)
        # Whoever was seen later has ended for the same reason as this one.
        first = min((self._seen[address] for address in absent), default=0.0)
        names = [
            name
            for address, name in self._others.items()
            if address in absent and self._seen[address] < first + _PROBE_SECONDS
        ]
        who = f"{', '.join(names)} is gone" if names else "a worker did not answer for a while"
        return f"{who}; run the same command on all workers to continue"

    def absent(self) -> set[str]:
        """The addresses at which nobody listens."""
        absent = set()
        for address in self._others:
            if is_listening(address):
                self._seen[address] = time.monotonic()
            else:
                absent.add(address)
        return absent
