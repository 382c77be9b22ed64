"""Preparation on Apache Beam's workers, and the second pass: the same bytes in any way."""

import pickle
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers import web_archives
from helpers.preparing import all_bytes

from xsample_tf import data
from xsample_tf.data import image_files, manifest, records, sources
from xsample_tf.data.preparation import beam, blocks, global_shuffle
from xsample_tf.data.sources import byte_ranges
from xsample_tf.errors import InputError

OPTIONS = data.SourceOptions(validation_fraction=0.2, seed=3)
PROCESSES = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")


@pytest.fixture(scope="module")
def tars(tmp_path_factory) -> str:
    """Three tars of 20: picture 5 stands in each, one image is rotten, one caption missing."""
    folder = tmp_path_factory.mktemp("tars")
    for tar in range(3):
        members = []
        for i in range(20):
            number = 5 if i == 5 else 20 * tar + i
            members += web_archives.pair(f"{i:03d}", number, f"caption {20 * tar + i}")
        if tar == 1:
            members[8:10] = [("004.jpg", b"rotten"), ("004.txt", b"a caption")]
            del members[21]
        web_archives.write_tar(folder / f"{tar}.tar", members)
    return f"webdataset:{folder}/*.tar"


def _prepare(source, output, deduplicate=True, **arguments) -> manifest.Dataset:
    return data.prepare(
        source,
        output,
        options=arguments.pop("options", OPTIONS),
        quality=data.Quality(deduplicate=deduplicate),
        records_per_shard=7,
        log=lambda line: None,
        **arguments,
    )


def _keys(dataset: manifest.Dataset, split: str = "train") -> list[str]:
    paths = [f"{dataset.directory}/{shard.path}" for shard in dataset.splits[split]]
    return [records.parse(row)["key"].numpy().decode() for row in tf.data.TFRecordDataset(paths)]


def _interrupt(*_):
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(tars, tmp_path_factory) -> manifest.Dataset:
    return _prepare(tars, tmp_path_factory.mktemp("whole") / "out", threads=1)


def test_records_of_archives_are_shuffled_into_shards_of_one_size(tars, whole, tmp_path):
    assert whole.rejected == {"duplicate_image": 2, "missing_caption": 1, "not_an_image": 1}
    for shards in whole.splits.values():
        assert {shard.records for shard in shards[:-1]} <= {7}
    assert data.check(whole.directory, log=lambda line: None) == []
    found = _keys(whole) + _keys(whole, "val")
    expected = {f"{tar}.tar/{i:03d}" for tar in range(3) for i in range(20)}
    expected -= {"1.tar/004", "1.tar/010", "1.tar/005", "2.tar/005"}
    assert sorted(found) == sorted(expected)
    archives = np.array([int(key[0]) for key in _keys(whole)])
    assert np.count_nonzero(np.diff(archives)) > 15  # In the tars' order it would be 2.
    # Another seed is another order of the same records; the split is of the images alone.
    other = _prepare(
        tars, tmp_path / "other", options=data.SourceOptions(validation_fraction=0.2, seed=4)
    )
    assert _keys(other) != _keys(whole) and sorted(_keys(other)) == sorted(_keys(whole))
    copies = _prepare(tars, tmp_path / "copies", deduplicate=False)
    assert len(_keys(copies)) + len(_keys(copies, "val")) == len(found) + 2


@pytest.mark.parametrize(
    ("runner", "flags"),
    [
        ("pool", ()),
        ("DirectRunner", ()),
        # Processes of Beam import TensorFlow each: half a minute.
        pytest.param("DirectRunner", PROCESSES, marks=pytest.mark.slow),
    ],
)
def test_the_bytes_do_not_depend_on_the_runner(tars, whole, tmp_path, runner, flags):
    if runner != "pool":
        pytest.importorskip("apache_beam")
    _prepare(tars, tmp_path / "out", runner=runner, beam_flags=flags, threads=3)
    assert all_bytes(tmp_path / "out") == all_bytes(whole.directory)


def test_a_table_on_beam_is_what_the_pool_writes(tmp_path):
    pytest.importorskip("apache_beam")
    rows = ["image,caption"]
    for i in range(20):
        (tmp_path / f"{i}.jpg").write_bytes(web_archives.jpeg(i))
        rows.append(f"{i}.jpg,caption {i}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    for runner in ("pool", "DirectRunner"):
        _prepare(f"table:{tmp_path}/t.csv", tmp_path / runner, deduplicate=False, runner=runner)
    assert all_bytes(tmp_path / "pool") == all_bytes(tmp_path / "DirectRunner")


@pytest.mark.parametrize("where", ["block", "shard"])
def test_what_was_killed_goes_on_with_any_runner(tars, whole, tmp_path, monkeypatch, where):
    pytest.importorskip("apache_beam")
    kind = {"block": blocks.BlockWriter, "shard": global_shuffle.ShardArranger}[where]
    write, written = kind.__call__, []

    def dies(self, task, *rest):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(task)
        return write(self, task, *rest)

    monkeypatch.setattr(kind, "__call__", dies)
    with pytest.raises(KeyboardInterrupt):
        _prepare(tars, tmp_path / "out", threads=1)
    assert not (tmp_path / "out" / manifest.MANIFEST).exists()
    monkeypatch.setattr(
        kind, "__call__", lambda self, *task: written.append(task) or write(self, *task)
    )
    _prepare(tars, tmp_path / "out", runner="DirectRunner")
    shards = sum(map(len, whole.splits.values()))
    assert len(written) == {"block": 9, "shard": shards}[where]  # None twice.
    assert all_bytes(tmp_path / "out") == all_bytes(whole.directory)


def test_a_worker_s_fault_is_one_line_and_what_was_done_stays(tars, whole, tmp_path, monkeypatch):
    pytest.importorskip("apache_beam")
    write, written = blocks.BlockWriter.__call__, []

    def fails(self, block, *rest):
        written.append(block)
        if len(written) == 4:
            raise OSError(28, "No space left on device", "parts/all/00003.tmp")
        return write(self, block, *rest)

    monkeypatch.setattr(blocks.BlockWriter, "__call__", fails)
    with pytest.raises(InputError, match="No space left on device.*parts/all/00003"):
        _prepare(tars, tmp_path / "out", runner="DirectRunner")
    assert len(written) == 4  # The others do not begin.
    _prepare(tars, tmp_path / "out", runner="DirectRunner")
    assert len(written) == 4 + 9 - 3
    assert all_bytes(tmp_path / "out") == all_bytes(whole.directory)


def test_entries_of_a_killed_driver_are_taken_over(tars, whole, tmp_path, monkeypatch):
    """The workers have left entries, and the driver has not read them."""
    pytest.importorskip("apache_beam")
    adopt = beam.adopt
    monkeypatch.setattr(beam, "adopt", lambda output, journal: None)
    with pytest.raises(InputError, match="left no entry for all/00000 in .* workers share"):
        _prepare(tars, tmp_path / "out", runner="DirectRunner")
    assert len([*(tmp_path / "out" / "entries").iterdir()]) == 9
    monkeypatch.setattr(beam, "adopt", adopt)
    monkeypatch.setattr(blocks.BlockWriter, "__call__", None)
    _prepare(tars, tmp_path / "out")
    assert all_bytes(tmp_path / "out") == all_bytes(whole.directory)


def test_parts_that_changed_between_the_passes_are_named(tars, tmp_path, monkeypatch):
    def breaks(output, needed):
        (output / "parts/all/00001.tfrecord").write_bytes(b"")

    monkeypatch.setattr(global_shuffle, "check_space", breaks)
    with pytest.raises(InputError, match=r"parts/all/00001.tfrecord is gone or changed"):
        _prepare(tars, tmp_path / "out")


def test_a_part_of_the_same_length_with_other_bytes_is_named(tars, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(global_shuffle, "check_space", _interrupt)
        _prepare(tars, tmp_path / "out")
    part = tmp_path / "out" / "parts" / "all" / "00001.tfrecord"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(InputError, match=r"parts/all/00001.tfrecord is gone or changed"):
        _prepare(tars, tmp_path / "out")


def test_images_that_turn_up_between_the_passes_lose_no_other(tmp_path, monkeypatch):
    folder = web_archives.write_img2dataset(tmp_path / "cc", "files", shards=4)
    read, arrange = byte_ranges.ByteRange.read, global_shuffle.ShardArranger.__call__

    def unreadable(piece):
        if "/00001/" in piece.file and piece.file.endswith(".jpg"):
            raise image_files.ImageError("unreadable_file")
        return read(piece)

    def prepare():
        options = data.SourceOptions(validation_fraction=0)
        return data.prepare(
            f"img2dataset:{folder}",
            tmp_path / "out",
            options=options,
            records_per_shard=3,
            threads=1,
            log=lambda line: None,
        )

    written = []

    def killed(arranger, path):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        return arrange(arranger, path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(byte_ranges.ByteRange, "read", unreadable)
        patch.setattr(global_shuffle.ShardArranger, "__call__", killed)
        prepare()
    assert len(written) == 2  # In an order of the 9 images that could be read.
    keys = _keys(prepare())
    assert len(keys) == len(set(keys)) == 12


def test_too_little_room_is_said_before_the_second_pass(tars, tmp_path, monkeypatch):
    usage = global_shuffle.shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(global_shuffle.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match="expected 0.0 GB free at .* the same command again"):
        _prepare(tars, tmp_path / "out")


def test_what_beam_cannot_run_is_one_line(tars, tmp_path, monkeypatch):
    pytest.importorskip("apache_beam")
    for runner, flags, words in (
        ("DirectRuner", (), "expected pool, DirectRunner, .* received 'DirectRuner'"),
        ("DirectRunner", ("--direct_workers=2",), "Beam knows no flag --direct_workers"),
        ("DirectRunner", ("--direct_num_workers=x",), "beam_flags: argument --direct_num_workers"),
        ("pool", PROCESSES, "expected none with runner 'pool'"),
    ):
        with pytest.raises(InputError, match=words):
            _prepare(tars, tmp_path / "out", runner=runner, beam_flags=flags)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(InputError, match=r"pip install -e '.\[beam\]'\), or use --runner=pool"):
        _prepare(tars, tmp_path / "out", runner="DirectRunner")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["webdataset", "files", "parquet", "tfrecord"])
def test_sources_can_be_sent_to_workers(tmp_path, kind):
    folder = web_archives.write_img2dataset(tmp_path / kind, kind)
    source = sources.open_source(f"img2dataset:{folder}", data.SourceOptions())
    sent = pickle.loads(pickle.dumps(source))
    for one, other in zip(source.samples("all", 0, 6), sent.samples("all", 0, 6), strict=True):
        assert (one.key, one.captions) == (other.key, other.captions)
        assert source.read(one.image) == sent.read(other.image)
