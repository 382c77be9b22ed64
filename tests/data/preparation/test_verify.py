"""A data directory is held against its manifest: each kind of damage is named, and no file else."""

import json
import subprocess
import sys

import pytest
from helpers.data_directory import write_directory

from xsample_tf.data import check
from xsample_tf.errors import InputError


@pytest.fixture
def directory(tmp_path):
    write_directory(tmp_path / "d", class_names=None)
    return tmp_path / "d"


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_sound_directory_has_no_fault(directory):
    lines = []
    assert check(directory, log=lines.append) == []
    assert [line.split() for line in lines] == [
        ["train", "3", "files", "45", "records", "sound"],
        ["embeddings/e/train", "3", "files", "45", "records", "sound"],
    ]


def test_each_damage_is_named(directory):
    (directory / "train/00000.tfrecord").unlink()
    short = directory / "train/00001.tfrecord"
    size = short.stat().st_size
    short.write_bytes(short.read_bytes()[:-9])
    flip(directory / "train/00002.tfrecord")
    longer = directory / "embeddings/e/train/00001.tfrecord"
    longer.write_bytes(longer.read_bytes() + b"\0")
    lines = []
    expected = [
        "missing train/00000.tfrecord",
        f"short train/00001.tfrecord: {size - 9:,} of {size:,} bytes",
        "changed train/00002.tfrecord: other bytes than were written",
        "changed embeddings/e/train/00001.tfrecord: other bytes than were written",
    ]
    assert check(directory, log=lines.append) == expected
    assert lines[-4:] == expected
    assert "3 at fault" in lines[0]
    assert "1 at fault" in lines[1]


def test_counts_and_class_vectors_are_compared(directory):
    manifest = directory / "dataset.json"
    content = json.loads(manifest.read_text())
    content["splits"]["train"][0]["records"] = 21
    content["class_names"] = ["a"]
    manifest.write_text(json.dumps(content))
    faults = check(directory, log=lambda line: None)
    assert faults[0] == "miscounted train/00000.tfrecord: 20 records, dataset.json says 21"
    assert faults[1].startswith("miscounted embeddings/e/train: other records than train has")
    assert faults[2].startswith("changed embeddings/e/classes.npy")
    assert len(faults) == 3
    manifest.write_text("{}")
    with pytest.raises(InputError, match="not what prepare_data writes"):
        check(directory)


def test_the_tool_exits_1_and_names_the_file(repository, directory):
    flip(directory / "train/00002.tfrecord")
    tool = [sys.executable, repository / "tools" / "prepare_data.py", "--check"]
    done = subprocess.run([*tool, f"--output={directory}"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("changed train/00002.tfrecord")
    assert "Traceback" not in done.stderr
