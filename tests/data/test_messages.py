"""Messages and lines of the log that hold the user's data are bounded."""

import json

import pytest
from helpers.preparing import write_png

from xsample_tf.data import append, prepare, prepare_in_place, sources
from xsample_tf.errors import InputError

LONG = "a very long name of something " * 20
MANY = [f"{LONG}{i}".replace(" ", "_") for i in range(500)]


def csv(folder, columns, cells):
    (folder / "t.csv").write_text(f"{','.join(columns)}\n{','.join(cells)}\n")
    return f"table:{folder}/t.csv"


def jsonl(folder, **row):
    (folder / "t.jsonl").write_text(json.dumps({"image": "0.png"} | row))
    return f"table:{folder}/t.jsonl"


def folders(folder, *names):
    for name in names:
        write_png(folder / name / "cat" / "0.png", 1)
    return f"folder:{folder}"


ERRORS = {
    "no image": lambda f: csv(f, MANY, ["x"] * 500),
    "many texts": lambda f: csv(f, ["image", *MANY], ["0.png", *["two words"] * 500]),
    "many words": lambda f: csv(f, ["image", *MANY], ["0.png", *["word"] * 500]),
    "no header": lambda f: csv(f, ["0.png"] * 500, ["0.png"] * 500),
    "caption": lambda f: jsonl(f, caption=dict.fromkeys(MANY, 1)),
    "caption in a list": lambda f: jsonl(f, caption=[dict.fromkeys(MANY, 1)]),
    "label": lambda f: jsonl(f, caption="a caption", label=dict.fromkeys(MANY, 1)),
    "lines": lambda f: jsonl(f, caption={"\n" * 400: 1}),
    "strangers": lambda f: folders(f, "train", "test", *(f"{'x' * 200}{i}" for i in range(50))),
    "no classes": lambda f: f"folder:{f}/{'d' * 250}/{'e' * 250}",
    "columns": lambda f: csv(f, ["image", "caption", "a"], ["0.png", "a caption", "x" * 5000]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_bounded(case, tmp_path):
    write_png(tmp_path / "0.png", 0)
    spec = ERRORS[case](tmp_path)
    columns = ("a",) if case == "columns" else ()
    options = sources.Options(feature_columns=columns)
    for call in (prepare, prepare_in_place):
        with pytest.raises(InputError) as caught:
            call(spec, tmp_path / "out", options=options, log=lambda line: None)
        assert 30 < len(str(caught.value)) <= 300 and "\n" not in str(caught.value)
    with pytest.raises(InputError) as caught:
        append(spec, tmp_path / LONG, options=options)
    assert len(str(caught.value)) <= 300


def test_an_unknown_column_is_answered_in_a_bounded_line(tmp_path):
    write_png(tmp_path / "0.png", 0)
    spec = csv(tmp_path, ["image", *MANY], ["0.png", *["two words"] * 500])
    for name in ("caption_columns", "label_column", "key_column", "split_column"):
        value = (LONG,) if name == "caption_columns" else LONG
        with pytest.raises(InputError, match=name.removesuffix("s")) as caught:
            sources.open_source(spec, sources.Options(**{name: value}))
        assert len(str(caught.value)) <= 300


def test_lines_of_the_log_are_bounded(tmp_path):
    write_png(tmp_path / f"{'p' * 200}.png", 0)
    columns = ["image", "caption", "label", *MANY]
    rows = [[f"{'p' * 200}.png", LONG, f"{LONG}{i}", *["1"] * 500] for i in range(1)]
    rows += [[f"{'q' * 200}{i}.png", LONG, f"{LONG}{i}", *["1"] * 500] for i in range(8)]
    (tmp_path / "t.csv").write_text("\n".join(",".join(row) for row in [columns, *rows]))
    lines = []
    prepare(
        f"table:{tmp_path}/t.csv",
        tmp_path / "out",
        options=sources.Options(validation_fraction=0),
        max_rejected_fraction=1,
        log=lines.append,
    )
    text = "\n".join(lines)
    assert "not used" in text and "(500 in all)" in text and "missing_file" in text
    assert max(map(len, lines)) <= 300
