"""SIGTERM and SIGINT: noted or raised, once, in the main thread, and put back."""

import os
import signal
import threading

import pytest

from xsample_tf.training.interruption import Interrupted, StopSignals


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_is_noted_while_deferred_and_the_next_one_ends(name):
    number = getattr(signal, name)
    seen = []
    before = signal.signal(number, lambda *_: seen.append(name))
    lines = []

    def log(line):
        lines.append(line)
        raise RuntimeError("reentrant call")  # Of a stream that was writing when the signal came.

    try:
        with StopSignals(log) as signals, signals.deferred():
            assert signals.received is None
            os.kill(os.getpid(), number)
            assert signals.received == name and not seen
            assert lines == [
                f"{name} received: finishing the step and saving; again to stop at once"
            ]
            os.kill(os.getpid(), number)
            assert seen == [name]
            with signals.deferred(False):  # Noted already: nothing is raised late.
                pass
    finally:
        signal.signal(number, before)


def test_elsewhere_a_signal_raises_where_the_program_stands():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with StopSignals() as signals, signals.deferred(), signals.deferred(False):
        with pytest.raises(Interrupted, match="stopped by SIGTERM.*same command continues"):
            os.kill(os.getpid(), signal.SIGTERM)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert issubclass(Interrupted, KeyboardInterrupt)


def test_another_thread_leaves_the_handlers_alone():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def enter():
        with StopSignals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
