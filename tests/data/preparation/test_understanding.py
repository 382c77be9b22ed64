"""What is printed before the work, and that nothing vanishes in it."""

import io
import json
import pathlib
import tarfile

import pytest
from helpers.preparing import Encoder, quiet, write_png
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xsample_tf import data
from xsample_tf.data import prepare, sources
from xsample_tf.errors import InputError


def shown(source: str, output, **arguments) -> list[str]:
    lines: list[str] = []
    assert prepare(source, output, log=lines.append, dry_run=True, **arguments) is None
    return lines


def test_a_dry_run_shows_columns_classes_and_records_and_writes_nothing(tmp_path):
    for i in range(6):
        write_png(tmp_path / f"{i}.png", i)
    rows = [{"file": f"{i}.png", "Caption": f"  text  {i}", "class": "ab"[i % 2]} for i in range(6)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    lines = shown(f"table:{tmp_path}/t.jsonl", tmp_path / "out")
    text = "\n".join(" ".join(line.split()) for line in lines)
    assert "image column 'file' (the only one that names images" in text
    assert "captions column 'Caption' (its name" in text
    assert "label column 'class' (its name; --label_column=none leaves it out)" in text
    assert "classes 2: a, b" in text  # All of them: the table has no other row.
    assert len([line for line in lines if line.startswith("record")]) == 3
    # As it will be stored: white space is single spaces.
    assert ": text " in text
    assert not (tmp_path / "out").exists()


def test_classes_may_be_more_than_the_first_rows_have(tmp_path):
    write_png(tmp_path / "0.png", 0)
    for count, expected in ((999, "classes 1: a"), (1001, "classes 1 so far: a")):
        rows = [{"image": "0.png", "label": "a"}] * count
        (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
        lines = shown(f"table:{tmp_path}/t.jsonl", tmp_path / "out")
        assert expected in [" ".join(line.split()) for line in lines]
        assert any("class names fill 'a photo of a {}'" in line for line in lines)
    named = sources.Options(class_names=("a", "b"))
    lines = shown(f"table:{tmp_path}/t.jsonl", tmp_path / "out", options=named)
    assert "classes 2: a, b" in [" ".join(line.split()) for line in lines]


def test_records_that_will_be_left_out_say_why(tmp_path):
    write_png(tmp_path / "0.png", 0)
    (tmp_path / "t.jsonl").write_text(json.dumps({"image": "0.png", "caption": ["a", "b c d"]}))
    quality = data.Quality(min_words=2)
    text = "\n".join(shown(f"table:{tmp_path}/t.jsonl", tmp_path / "out", quality=quality))
    assert "0.png: b c d" in text
    quality = data.Quality(min_words=5)
    text = "\n".join(shown(f"table:{tmp_path}/t.jsonl", tmp_path / "out", quality=quality))
    assert "0.png: left out, short_caption, short_caption" in text


def test_a_large_split_that_is_left_out_is_no_sign_of_a_misread_source(tmp_path):
    for i in range(9):
        write_png(tmp_path / "raw" / ("train" if i < 2 else "test") / "a" / f"{i}.png", i)
    options = sources.Options(validation_fraction=0)
    made = prepare(f"folder:{tmp_path}/raw", tmp_path / "out", options=options, log=quiet)
    assert (made.records("train"), made.rejected) == (2, {"split_test": 7})


def test_any_error_of_one_image_is_its_reject(tmp_path, monkeypatch):
    for i in range(4):
        write_png(tmp_path / "raw" / "a" / f"{i}.png", i)
    normalize = data.preparation.convert.image_files.normalize

    def fails(content, form):
        if content == (tmp_path / "raw" / "a" / "2.png").read_bytes():
            raise MemoryError
        return normalize(content, form)

    monkeypatch.setattr(data.preparation.convert.image_files, "normalize", fails)
    options = sources.Options(validation_fraction=0)
    made = prepare(f"folder:{tmp_path}/raw", tmp_path / "out", options=options, log=quiet)
    assert made.rejected == {"error_MemoryError": 1}
    assert made.records("train") == 3


_FAULTS = ("good", "no image", "rotten", "no caption", "blank", "number", "malformed", "again")


def _make_table(folder: pathlib.Path, faults: list[str], kind: str) -> None:
    lines = []
    for i, fault in enumerate(faults):
        row = {"image": f"{i}.png", "caption": f"a caption {i}"}
        if fault == "rotten":
            (folder / f"{i}.png").write_bytes(b"\x89PNG rotten")
        elif fault != "no image":
            write_png(folder / f"{i}.png", i)
        row |= {"no caption": {"caption": None}, "blank": {"caption": " "}}.get(fault, {})
        row |= {"number": {"caption": {"x": 1}}}.get(fault, {})
        lines.append('{"image": ' if fault == "malformed" else json.dumps(row))
        if fault == "again":
            lines.append(json.dumps(row | {"caption": "another"}))
    (folder / f"t.{kind}").write_text("\n".join(lines))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(st.sampled_from(_FAULTS), min_size=3, max_size=12))
def test_of_a_table_everything_listed_is_taken_or_left_out(tmp_path_factory, faults):
    folder = tmp_path_factory.mktemp("table")
    _make_table(folder, ["good", *faults], "jsonl")
    lines: list[str] = []
    try:
        made = _prepared(f"table:{folder}/t.jsonl", folder / "out", lines)
    except InputError as error:  # A dict among the first rows.
        assert "number" in faults and "caption_column" in str(error)
        return
    counts = {fault: ["good", *faults].count(fault) for fault in _FAULTS}
    assert made.records("train") == counts["good"] + counts["again"]
    listed = next(int(line.split()[1].replace(",", "")) for line in lines if "listed" in line)
    assert listed == len(faults) + 1 == made.records("train") + sum(made.rejected.values())


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(st.sampled_from(_FAULTS[:5]), min_size=3, max_size=12), st.booleans())
def test_of_a_tar_everything_listed_is_taken_or_left_out(tmp_path_factory, faults, cut):
    folder = tmp_path_factory.mktemp("tar")
    with tarfile.open(folder / "t.tar", "w") as tar:
        for i, fault in enumerate(["good", *faults]):
            write_png(folder / "x.png", i)
            image = b"rotten" if fault == "rotten" else (folder / "x.png").read_bytes()
            text = b" " if fault == "blank" else b"a caption"
            parts = [("png", image)] * (fault != "no image") + [("txt", text)] * (
                fault != "no caption"
            )
            for kind, content in parts:
                member = tarfile.TarInfo(f"{i}.{kind}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    if cut:
        content = (folder / "t.tar").read_bytes()
        (folder / "t.tar").write_bytes(content[: len(content.rstrip(b"\0")) // 512 * 512 + 512])
    lines: list[str] = []
    made = _prepared(f"webdataset:{folder}/t.tar", folder / "out", lines)
    assert made.records("train") == 1 + faults.count("good")
    assert made.rejected.get("archive_damaged", 0) == cut
    listed = next(int(line.split()[1].replace(",", "")) for line in lines if "listed" in line)
    assert listed == len(faults) + 1 + cut == made.records("train") + sum(made.rejected.values())


def _prepared(source: str, output, lines: list[str]):
    options = sources.Options(validation_fraction=0)
    return prepare(
        source, output, [Encoder()], options=options, max_rejected_fraction=1, log=lines.append
    )


@pytest.mark.parametrize("value", ["x" * 5000, "\n" * 400])
def test_messages_are_bounded(tmp_path, value):
    write_png(tmp_path / "0.png", 0)
    (tmp_path / "t.jsonl").write_text(json.dumps({"image": "0.png", "caption": {value: 1}}))
    with pytest.raises(InputError) as caught:
        shown(f"table:{tmp_path}/t.jsonl", tmp_path / "out")
    assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)
