"""How far a long loop is."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tqdm import tqdm

_FIRST_SECONDS, _LOG_SECONDS = 5, 30


def say(log: Callable[[str], None], text: str) -> None:
    """Logs a line without spoiling a bar on the terminal."""
    with tqdm.external_write_mode():
        log(text)


class Progress:
    """A bar with count and rate on a terminal; elsewhere a line after 5 s, then every half minute.

    Args:
        what: What is counted, to begin the bar or the line with.
        total: How many there are; None where that is not known.
        unit: What one is called in the plural.
        log: Receives the lines.

    Example:
        >>> with Progress("features of val", 5000, "images", print) as progress:
        ...     progress.advance(256)
    """

    def __init__(self, what: str, total: int | None, unit: str, log: Callable[[str], None]):
        self._what, self._unit, self._log = what, unit, log
        self._of = "" if total is None else f" of {total:,}"
        self._bar = tqdm(total=total, desc=what, unit=f" {unit}", disable=None, leave=False)
        self._done, self._start = 0, time.monotonic()
        self._next = self._start + _FIRST_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def note(self, text: str) -> None:
        """Shows what is worked on at present, on a terminal."""
        self._bar.set_postfix_str(text)

    def reach(self, done: int) -> None:
        """Counts up to what has been done in all."""
        self.advance(done - self._done)

    def advance(self, count: int = 1) -> None:
        """Counts what has been done since the last call."""
        self._done += count
        self._bar.update(count)
        now = time.monotonic()
        if self._bar.disable and now >= self._next:
            self._next = now + _LOG_SECONDS
            rate = self._done / (now - self._start)
            self._log(f"{self._what}: {self._done:,}{self._of} {self._unit}, {rate:,.1f}/s")
