import types

import pytest

from xsample_tf import progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets."""
    now = types.SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def test_without_a_terminal_there_is_a_line_now_and_then(clock):
    lines = []
    with progress.Progress("features of val", 5000, "images", lines.append) as bar:
        for clock.seconds in (4, 8, 20, 40, 50, 80):
            bar.advance(1000)
    assert lines == [
        "features of val: 2,000 of 5,000 images, 250.0/s",
        "features of val: 4,000 of 5,000 images, 100.0/s",
        "features of val: 6,000 of 5,000 images, 75.0/s",
    ]


def test_what_is_reached_counts_from_the_start(clock):
    lines = []
    with progress.Progress("captions", None, "images", lines.append) as bar:
        bar.reach(10)
        bar.reach(10)
        clock.seconds = 40
        bar.reach(20)
    assert lines == ["captions: 20 images, 0.5/s"]
