"""Sources become data directories: what is kept, what is counted, and what a kill leaves."""

import csv
import io
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers.preparing import Encoder, all_bytes, contents, run, table, write_png
from PIL import Image

from xsample_tf.data import image_files, prepare, sources
from xsample_tf.data.preparation import journal, shard_writer
from xsample_tf.errors import InputError

# --- what is written ------------------------------------------------------------------------


def test_class_folders_become_records_captions_and_vectors(folders, tmp_path):
    encoder = Encoder()
    dataset = run(folders, tmp_path / "out", [encoder], records_per_shard=16)
    assert dataset.class_names == ("class_0", "class_1", "class_2")
    assert dataset.captions_per_image == 1
    assert len(dataset.splits["train"]) == 4
    found = contents(dataset)
    both = found["train"] | found["val"]
    assert len(both) == 60
    names = [f"a photo of a class {i}" for i in range(3)]
    for key, row in both.items():
        label = int(key[6])
        assert row["label"] == label
        assert row["captions"].tolist() == [names[label].encode()]
        assert row["image"] == (tmp_path / "raw" / key).read_bytes()
        np.testing.assert_allclose(row["toy"][0], Encoder.vector(names[label]), atol=1e-3)
    expected = np.array([Encoder.vector(name) for name in names])
    np.testing.assert_allclose(dataset.class_embeddings("toy"), expected, atol=1e-3)
    mean = np.mean([row["toy"][0].astype(np.float64) for row in found["train"].values()], axis=0)
    np.testing.assert_allclose(dataset.encoder("toy").mean, mean, atol=1e-6)
    assert dataset.encoder("toy").template == "a photo of a {}"


def test_several_captions_of_an_image_stay_one_record(tmp_path):
    for i in range(4):
        write_png(tmp_path / f"{i}.png", i)
    rows = [(f"{i}.png", f"  caption\t{j} of\n{i} ") for j in range(5) for i in range(4)]
    dataset = run(
        table(tmp_path, rows), tmp_path / "out", [Encoder()], options={"validation_fraction": 0}
    )
    assert dataset.captions_per_image == 5
    assert dataset.class_names is None
    row = contents(dataset)["train"]["2.png"]
    captions = [f"caption {j} of 2" for j in range(5)]
    assert row["captions"].tolist() == [caption.encode() for caption in captions]
    expected = np.array([Encoder.vector(caption) for caption in captions])
    np.testing.assert_allclose(row["toy"], expected, atol=1e-3)
    assert row["label"] == -1


def test_the_order_on_disk_mixes_the_classes(folders, tmp_path):
    dataset = run(folders, tmp_path / "out", options={"validation_fraction": 0})
    labels = [int(key[6]) for key in contents(dataset)["train"]]
    assert np.count_nonzero(np.diff(labels)) > 20  # Sorted by class it would be 2.


def test_copies_of_an_image_are_on_one_side(tmp_path):
    for i in range(400):
        write_png(tmp_path / "raw" / "a" / f"{i:03d}.png", i % 200)
    dataset = run(
        f"folder:{tmp_path}/raw",
        tmp_path / "out",
        options={"validation_fraction": 0.25},
        records_per_shard=64,
    )
    found = contents(dataset)
    train, val = ({row["image"] for row in found[split].values()} for split in ("train", "val"))
    assert not train & val
    assert 60 <= dataset.records("val") <= 140
    assert len(dataset.splits["val"]) <= 3  # Not one for each of the 7 blocks.
    assert not (tmp_path / "out" / "val-parts").exists()


def test_a_validation_source_is_the_validation_split(folders, tmp_path):
    for name in ("class_1", "class_9"):
        write_png(tmp_path / "held" / name / "00.png", 7)
    dataset = run(folders, tmp_path / "out", validation_source=f"folder:{tmp_path}/held")
    assert dataset.records("train") == 60
    assert {key: row["label"] for key, row in contents(dataset)["val"].items()} == {
        "val/class_1/00.png": 1
    }
    assert dataset.rejected == {"label_out_of_range": 1}


def test_scenes_have_both_splits_and_class_vectors(tmp_path):
    dataset = run("scenes:count=12,size=32", tmp_path / "out", [Encoder()], records_per_shard=5)
    assert (dataset.records("train"), dataset.records("val")) == (12, 1)
    assert len(dataset.class_embeddings("toy")) == len(dataset.class_names)
    row = contents(dataset)["train"]["train/0000007"]
    assert len(row["captions"]) == len(row["toy"]) == dataset.captions_per_image


# --- bad input ------------------------------------------------------------------------------


def bad_table(folder: pathlib.Path) -> str:
    """A table of 4 good images, one of them CMYK, and of one of each thing that goes wrong."""
    for i in range(4):
        write_png(folder / f"good{i}.png", i)
    good = (folder / "good0.png").read_bytes()
    buffer = io.BytesIO()
    Image.new("CMYK", (16, 16)).save(buffer, "JPEG")
    (folder / "good3.png").write_bytes(buffer.getvalue())
    (folder / "truncated.png").write_bytes(good[:50])
    (folder / "text.png").write_bytes(b"<html>")
    (folder / "folder.png").mkdir()
    rows = [(f"good{i}.png", f"caption {i}", i % 2) for i in range(4)]
    rows += [("good0.png", " \t", 0), ("good1.png", "x" * 200_000, 1)]
    rows += [(name, "x", 0) for name in ("truncated.png", "text.png", "folder.png", "no.png")]
    write_png(folder / "quiet.png", 9)
    write_png(folder / "strange.png", 9)
    rows += [("quiet.png", "", 0), ("strange.png", "x", 5), ("short.png",)]
    return table(folder, rows, ("image", "caption", "label"))


def test_what_cannot_be_used_is_counted_by_reason(tmp_path):
    lines = []
    dataset = prepare(
        bad_table(tmp_path),
        tmp_path / "out",
        [Encoder()],
        options=sources.Options(validation_fraction=0, class_names=("cat", "dog")),
        max_rejected_fraction=0.7,
        log=lines.append,
    )
    assert dataset.rejected == {
        "empty_caption": 2,  # One of good0's two, and the only one of quiet.png.
        "label_out_of_range": 1,
        "malformed_row": 1,
        "missing_file": 1,
        "not_an_image": 1,
        "undecodable": 1,
        "unreadable_file": 1,
    }
    rows = contents(dataset)["train"]
    assert rows.keys() == {f"good{i}.png" for i in range(4)}
    assert rows["good0.png"]["captions"].tolist() == [b"caption 0"]
    assert len(rows["good1.png"]["captions"][1]) == 200_000
    for row in rows.values():
        assert tf.io.decode_image(row["image"], channels=3).shape[-1] == 3
    report = "\n".join(lines)
    assert re.search(r"missing_file +1 left out +9\.09% +first no\.png in .*t\.csv:\d+\n", report)
    assert "encoded again" in report


def test_too_many_unusable_images_are_an_error_that_says_why(tmp_path):
    source = bad_table(tmp_path)
    options = {"validation_fraction": 0, "class_names": ("cat", "dog")}
    with pytest.raises(InputError, match="7 of 11 images .* cannot be used, .* is ") as caught:
        run(source, tmp_path / "out", options=options)
    assert "\n" not in str(caught.value)
    assert run(source, tmp_path / "out", options=options, max_rejected_fraction=1).records("train")


def test_a_source_without_a_usable_record_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"<html>")
    with pytest.raises(InputError, match="no usable training record .*missing_file 1") as caught:
        run(table(tmp_path, [("a.png", "x"), ("b.png", "y")]), tmp_path / "out")
    assert "not_an_image 1" in str(caught.value)


def test_images_that_turn_up_are_taken_by_the_same_command(tmp_path):
    source = table(tmp_path, [("a.png", "x"), ("b.png", "y")])
    with pytest.raises(InputError, match="no file is there; looked for .*a.png"):
        run(source, tmp_path / "out", options={"validation_fraction": 0})
    (tmp_path / "b.png").write_bytes(b"<html>")
    with pytest.raises(InputError, match="missing_file"):
        run(source, tmp_path / "out", options={"validation_fraction": 0})
    write_png(tmp_path / "a.png", 1)
    write_png(tmp_path / "b.png", 2)
    dataset = run(source, tmp_path / "out", options={"validation_fraction": 0})
    assert dataset.rejected == {}


def test_a_caption_that_is_not_utf8_is_counted(tmp_path):
    write_png(tmp_path / "a.png", 1)
    # The file is UTF-8 but for one byte.
    text = "image,caption\na.png,gr\udcfcn\na.png,größer\na.png,grüner\n"
    (tmp_path / "t.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    dataset = run(f"table:{tmp_path}/t.csv", tmp_path / "o", options={"validation_fraction": 0})
    assert dataset.rejected == {"caption_not_utf8": 1}
    assert contents(dataset)["train"]["a.png"]["captions"].tolist() == [
        "größer".encode(),
        "grüner".encode(),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"template": "a photo"}, "template: expected text with {}"),
        ({"options": {"validation_fraction": 1.0}}, "validation_fraction: expected"),
        ({"records_per_shard": 0}, "records_per_shard: expected at least 1"),
        ({"max_rejected_fraction": -1}, "max_rejected_fraction: expected"),
    ],
)
def test_arguments_are_checked_first(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        run("folder:nowhere", tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_one_line(folders, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"cannot read or write \(.*the same command goes on"):
        run(folders, "/proc/out")
    write = shard_writer.ShardWriter.write

    def full(self, record):
        if "00001" in self._path:
            raise tf.errors.ResourceExhaustedError(None, None, "x.tmp; No space left on device")
        return write(self, record)

    monkeypatch.setattr(shard_writer.ShardWriter, "write", full)
    with pytest.raises(InputError, match=r"x\.tmp; No space left on device\); once"):
        run(folders, tmp_path / "out", records_per_shard=16)
    monkeypatch.undo()
    run(folders, tmp_path / "out", records_per_shard=16)
    run(folders, tmp_path / "whole", records_per_shard=16)
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")


def test_an_output_that_holds_something_else_is_left_alone(folders, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds something else"):
            run(folders, tmp_path / "out", overwrite=overwrite)
    with pytest.raises(InputError, match="expected a folder"):
        run(folders, tmp_path / "out" / "thesis.tex")


# --- the same again -------------------------------------------------------------------------


def test_the_bytes_do_not_depend_on_the_threads(folders, tmp_path):
    for threads in (1, 5):
        run(folders, tmp_path / str(threads), [Encoder()], threads=threads, records_per_shard=16)
    assert all_bytes(tmp_path / "1") == all_bytes(tmp_path / "5")


def test_a_finished_output_returns_at_once(folders, tmp_path, monkeypatch):
    first = run(folders, tmp_path / "out", [Encoder()])
    monkeypatch.setattr(image_files, "normalize", None)
    encoder = Encoder()
    assert run(folders, tmp_path / "out", [encoder]) == first
    assert not encoder.asked


def test_another_configuration_is_an_error_unless_it_may_overwrite(folders, tmp_path):
    run(folders, tmp_path / "out", [Encoder()])
    with pytest.raises(InputError, match="seed=0, now 1; .*--overwrite"):
        run(folders, tmp_path / "out", options={"seed": 1})
    run(folders, tmp_path / "new", options={"seed": 1})
    run(folders, tmp_path / "out", options={"seed": 1}, overwrite=True)
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "new")


@pytest.mark.parametrize("last", [0, 20, 40, 58])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(folders, tmp_path, monkeypatch, last):
    options = {"validation_fraction": 0.2}
    run(folders, tmp_path / "whole", [Encoder()], records_per_shard=16, options=options)
    normalize, seen = image_files.normalize, []

    def killed(content, form):
        if len(seen) > last:
            raise KeyboardInterrupt
        seen.append(content)
        return normalize(content, form)

    monkeypatch.setattr(image_files, "normalize", killed)
    with pytest.raises(KeyboardInterrupt):
        run(folders, tmp_path / "out", records_per_shard=16, options=options, threads=1)
    with open(tmp_path / "out" / journal.JOURNAL, "a", encoding="utf-8") as file:
        file.write('{"piece": "all/00')
    read = []
    monkeypatch.setattr(
        image_files, "normalize", lambda c, form: read.append(c) or normalize(c, form)
    )
    run(folders, tmp_path / "out", [Encoder()], records_per_shard=16, options=options)
    assert len(read) == 60 - (last + 1) // 16 * 16
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")


# --- the tool and real images ---------------------------------------------------------------


def test_the_tool_prepares_and_says_in_one_line_what_is_wrong(repository, tmp_path):
    def tool(*flags):
        return subprocess.Popen(
            [sys.executable, repository / "tools" / "prepare_data.py", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    good = tool(
        "--source=scenes:count=30,size=32", f"--output={tmp_path}/out", "--text_encoder=lexical"
    )
    bad = tool("--source=folder:nowhere", f"--output={tmp_path}/bad")
    out, err = good.communicate()
    assert good.returncode == 0, err
    assert "30 records" in out
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["encoders"]["lexical"]
    _, err = bad.communicate()
    assert bad.returncode == 2
    assert [line for line in err.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in err


def test_real_images_and_captions(shared_data, tmp_path):
    where = shared_data / "flickr8k" / "captions_test.csv"
    dataset = run(f"table:{where}", tmp_path / "out", options={"validation_fraction": 0.1})
    assert dataset.records("train") + dataset.records("val") == 1000
    assert dataset.captions_per_image == 5
    assert dataset.rejected == {}
    with open(where, encoding="utf-8") as file:
        expected = {row["image"]: row["caption"] for row in csv.DictReader(file)}
    for key, row in contents(dataset)["val"].items():
        assert " ".join(expected[key].split()).encode() == row["captions"][-1]
        assert (where.parent / key).read_bytes() == row["image"]


def test_another_column_of_images_or_an_option_taken_back_is_another_configuration(tmp_path):
    """A source is told by the names of its images, and two columns may hold two of each."""
    for i in range(4):
        write_png(tmp_path / f"front{i}.png", i)
        write_png(tmp_path / f"back{i}.png", 10 + i)
    rows = "".join(f"k{i},front{i}.png,back{i}.png,caption {i}\n" for i in range(4))
    (tmp_path / "t.csv").write_text(f"id,front,back,caption\n{rows}")
    source, named = f"table:{tmp_path / 't.csv'}", {"key_column": "id", "validation_fraction": 0.3}
    run(source, tmp_path / "out", options={"image_column": "front", **named})
    with pytest.raises(InputError, match="image_column='front', now 'back'"):
        run(source, tmp_path / "out", options={"image_column": "back", **named})
    # What is not in a journal's first line is as it was by default.
    journal.Journal(tmp_path / "own.jsonl", {"a": 1, "b": 2})
    with pytest.raises(InputError, match="made with b=2, now None"):
        journal.Journal(tmp_path / "own.jsonl", {"a": 1})
