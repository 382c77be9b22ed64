import types

from xsample_tf.evaluation import progress


def test_without_a_terminal_there_is_a_line_every_half_minute(monkeypatch):
    now, lines = [0.0], []
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    with progress.Progress("features of val", 400, "images", lines.append) as bar:
        for second in (10, 20, 40, 50, 80):
            now[0] = second
            bar.advance(100)
    assert lines == ["features of val: 300 images, 8/s", "features of val: 500 images, 6/s"]
