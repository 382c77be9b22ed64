"""Logs of a continued run: nothing twice, nothing lost, and a failed write in one line."""

import json

import pytest
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.training.logs import Logs


def write(directory, first, last):
    directory.mkdir(exist_ok=True)
    logs = Logs(directory, first)
    for step in range(first + 1, last + 1):
        logs.append({"step": step, "loss": step / 3})
        logs.draw(step, {"loss": step / 3, "pairs_per_second": 1.0})
        if step % 4 == 0:
            logs.append({"step": step, "evaluation": {}})
    return logs


def lines(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def drawn(directory):
    found = []
    for path in sorted((directory / "tensorboard").glob("events.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            found += [(event.step, value.tag) for value in event.summary.value]
    return sorted(found)


@pytest.mark.parametrize("torn", [False, True])
def test_a_continued_run_logs_each_step_once(tmp_path, torn):
    write(tmp_path / "whole", 0, 9)
    write(tmp_path / "killed", 0, 7)
    if torn:
        for path in (tmp_path / "killed" / "metrics.jsonl", *tmp_path.glob("killed/*/events*")):
            path.write_bytes(path.read_bytes()[:-9])
    assert Logs(tmp_path / "killed", 5).evaluated(4)
    assert not Logs(tmp_path / "killed", 5).evaluated(8)
    write(tmp_path / "killed", 5, 6)
    write(tmp_path / "killed", 5, 9)
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")
    assert drawn(tmp_path / "killed") == drawn(tmp_path / "whole")
    assert len(drawn(tmp_path / "whole")) == 18


def test_a_run_that_starts_over_logs_anew(tmp_path):
    write(tmp_path, 0, 5)
    write(tmp_path, 0, 2)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2]
    assert {step for step, _ in drawn(tmp_path)} == {1, 2}


def test_a_full_disk_is_told_in_a_line(tmp_path):
    logs = write(tmp_path, 0, 3)
    (tmp_path / "metrics.jsonl").rename(tmp_path / "before")
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(InputError, match="metrics.jsonl: No space left on device; once"):
        logs.append({"step": 4})
    assert len((tmp_path / "before").read_text().splitlines()) == 3
