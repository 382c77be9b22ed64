"""SIGTERM and SIGINT: the first finishes the step and saves, the second ends at once."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


class Interrupted(KeyboardInterrupt):
    """A run was asked to stop, and what it had done is saved.

    A `KeyboardInterrupt`, so that in a notebook the cell ends as it does elsewhere. The tools
    exit 0 with its message.
    """


class StopSignals:
    """Receives SIGTERM and SIGINT while it is entered, in the main thread; elsewhere it does not.

    Outside of `deferred` a signal raises `Interrupted` where the program stands. Inside it is
    noted, and answered by a line. Either way the handlers from before are back for the next one.

    Args:
        log: Gets the line. Defaults to `print`.

    Attributes:
        received: The name of a signal that was noted, or None.

    Example:
        >>> with StopSignals() as signals, signals.deferred():
        ...     while not signals.received:
        ...         step()
    """

    def __init__(self, log: Callable[[str], None] = print):
        self._log = log
        self.received: str | None = None
        self._deferred = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *unused: Any) -> None:
        self._put_back()

    @contextlib.contextmanager
    def deferred(self, deferred: bool = True) -> Iterator[None]:
        """Notes signals inside, or with False lets them raise."""
        before, self._deferred = self._deferred, deferred
        try:
            yield
        finally:
            self._deferred = before

    def _receive(self, number: int, unused_frame: Any) -> None:
        self._put_back()
        name = signal.Signals(number).name
        if not self._deferred:
            raise Interrupted(f"stopped by {name}; nothing is lost, the same command continues")
        self.received = name
        # The signal may have come within another line's output, which cannot be entered twice.
        with contextlib.suppress(RuntimeError):
            self._log(f"{name} received: finishing the step and saving; again to stop at once")

    def _put_back(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            # None is a handler that was not set from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
