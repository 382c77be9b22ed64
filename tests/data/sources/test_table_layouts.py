"""More layouts of tables: each is read right, or refused with the next step."""

import base64
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.tables import COUNT, caption, check_captions, opened, png, rows, samples_of, write

from xsample_tf.errors import InputError

NUMBERS = range(COUNT)
PATHS = [f"images/{i}.png" for i in NUMBERS]


def csv(folder, header: str, *cells, name="t.csv"):
    """A table of an image and further cells, each a function of the image's number."""
    lines = [",".join([PATHS[i], *(cell(i) for cell in cells)]) for i in NUMBERS]
    return write(folder, name, "\n".join([header, *lines]) + "\n")


def plain(i: int) -> str:
    return f"scene number {i} of eight"


# --- JSON -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "note"),
    [
        (
            {"image": PATHS, "caption": [[caption(i)] for i in NUMBERS]},
            "an object of columns",
        ),
        (
            {
                "file_name": dict(enumerate(PATHS)),
                "caption": {i: caption(i) for i in NUMBERS},
            },
            "an object of columns",
        ),
        ({i: {"image": PATHS[i], "caption": caption(i)} for i in NUMBERS}, "rows by key"),
        ({PATHS[i]: {"caption": [caption(i)]} for i in NUMBERS}, "rows by the name of the image"),
        ({f"images/{i}": [caption(i)] for i in NUMBERS}, "captions by the name of the image"),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_objects_of_columns_and_of_rows(folder, value, note, indent):
    source = opened(write(folder, "t.json", json.dumps(value, indent=indent)))
    check_captions(source, 1)
    assert note in source.understanding()


def test_a_row_of_lists_is_a_row_where_others_follow(folder):
    objects = [
        {"image": [PATHS[i], PATHS[0]], "caption": [caption(i), caption(i, 1)]} for i in NUMBERS
    ]
    for name in ("t.json", "t.jsonl"):
        check_captions(opened(write(folder, name, "\n".join(map(json.dumps, objects)))), 2)


def test_captions_of_coco_in_a_file_for_each_split(folder):
    for split, numbers in (("train2014", range(6)), ("val2014", range(6, 8))):
        value = {
            "images": [{"id": i, "file_name": PATHS[i]} for i in numbers],
            "annotations": [{"image_id": i, "caption": caption(i)} for i in numbers],
        }
        write(folder, f"captions_{split}.json", json.dumps(value))
    assert opened(folder / "captions_*.json").counts == {"train": 6, "val": 2}


def test_an_array_beside_what_describes_it(folder):
    found = [{"image": PATHS[i], "caption": caption(i)} for i in NUMBERS]
    for indent in (None, 1):
        text = json.dumps({"info": {"version": 1}, "data": found}, indent=indent)
        check_captions(opened(write(folder, "t.json", text)), 1)
        text = json.dumps({"train": found[:6], "test": found[6:]}, indent=indent)
        with pytest.raises(InputError, match="an object of 'train', 'test'; write each array"):
            opened(write(folder, "t.json", text))
    for value, kind in (([PATHS], "list"), (PATHS, "str"), ([], "none")):
        with pytest.raises(InputError, match=f"an array of objects in .*, received {kind}"):
            opened(write(folder, "t.json", json.dumps(value)))


def test_lists_in_text_as_numpy_writes_them(folder):
    def cell(i):
        return "[" + " ".join(repr(text) for text in (plain(i), "it's another")) + "]"

    source = opened(
        csv(
            folder,
            "image,captions",
            lambda i: f'"{cell(i)}"'.replace('"it', '""it').replace('another"]', 'another""]'),
        )
    )
    for key, sample in samples_of(source).items():
        assert sample.captions == (plain(int(key[7])), "it's another")


# --- columns --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "cell", "message"),
    [
        ("image,target", lambda i: str(i / 4), "received the number 0.25; keep it .*=target"),
        ("image,label", lambda i: '"[""cat"", ""dog""]"', "received a list of text; leave"),
        ("image,label", lambda i: '"[0, 1]"', None),
        ("image,caption", str, "received numbers such as 0; name another"),
        ("image,tag", lambda i: "cat", "--caption_column=tag or --label_column=tag"),
    ],
)
def test_a_column_of_another_kind_is_an_error_that_says_which_flag(folder, header, cell, message):
    path = csv(folder, header, cell)
    if message is None:
        assert opened(path, label_column="none").counts == {"all": COUNT}
        return
    with pytest.raises(InputError, match=message):
        opened(path)
    none = {"caption_columns": ("none",), "label_column": "none"}
    assert opened(path, **none).counts == {"all": COUNT}


def test_a_list_of_numbers_is_no_image(folder):
    pq.write_table(pa.table({"image": [[1, 2, 300]], "caption": ["a cat"]}), folder / "t.parquet")
    with pytest.raises(InputError, match="image_column: .* received a list of a number"):
        opened(folder / "t.parquet")


def test_text_inside_of_lists_and_objects_is_found(folder):
    objects = [
        {"image": PATHS[i], "turns": [{"from": "gpt", "value": caption(i)}]} for i in NUMBERS
    ]
    path = write(folder, "t.json", json.dumps(objects))
    with pytest.raises(InputError, match=r"name it with --caption_column=turns\[\].value"):
        opened(path)
    check_captions(opened(path, caption_columns=("turns[].value",)), 1)


@pytest.mark.parametrize("word", ["NaN", "nan", "None", "null", "NULL", "N/A", "<NA>"])
def test_words_that_stand_for_nothing(folder, word):
    path = csv(
        folder,
        "image,caption,label",
        lambda i: plain(i) if i % 2 else word,
        lambda i: f"{i % 2}.0" if i < 6 else "nan",
    )
    source = opened(path)
    found = samples_of(source)
    for i in NUMBERS:
        sample = found[PATHS[i]]
        assert sample.captions == ((plain(i),) if i % 2 else ())
        assert sample.label == (i % 2 if i < 6 else None)
    assert source.classes is None


def test_outer_spaces_make_no_classes(folder):
    path = csv(folder, "image,label", lambda i: ["cat", "cat ", " dog", "dog"][i % 4])
    source = opened(path)
    assert source.classes.names == ("cat", "dog")
    assert [samples_of(source)[path].label for path in PATHS[:4]] == [0, 0, 1, 1]


def test_columns_that_are_not_used_are_named(folder):
    path = csv(folder, "image,caption,caption2,cat", plain, plain, str)
    assert "not used: caption2, cat" in opened(path).understanding()
    lines = opened(path, feature_columns=("cat",)).understanding()
    assert "not used: caption2" in lines


@pytest.mark.parametrize("name", ["phase", "set", "SPLIT", "is_test"])
def test_a_column_whose_values_are_splits(folder, name):
    values = ["0", "1"] if name == "is_test" else ["Train", "test_set"]
    path = csv(folder, f"image,caption,{name}", plain, lambda i: values[i >= 6])
    source = opened(path)
    if name == "is_test":
        assert "not used: is_test" in source.understanding()
        return
    assert (source.counts, source.rejected) == ({"all": 6}, {"split_test": 2})
    assert opened(path, split_column="none").counts == {"all": COUNT}


# --- places ---------------------------------------------------------------------------------


def test_tables_of_several_folders_have_their_own_images(tmp_path):
    for k, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        for i in range(4):
            (tmp_path / name / f"{i}.png").write_bytes(png(4 * k + i))
        lines = [f'{i}.png,"{caption(4 * k + i)}"' for i in range(4)]
        write(tmp_path / name, "m.csv", "\n".join(["image,caption", *lines]))
    source = opened(f"{tmp_path}/*/m.csv")
    check_captions(source, 1)
    assert {"a/0.png", "b/0.png"} < set(samples_of(source))
    for i in range(4):
        (tmp_path / "b" / f"{i}.png").unlink()
    with pytest.raises(InputError, match=r"b/m\.csv no file is there"):
        opened(f"{tmp_path}/*/m.csv")


def test_tables_beside_the_images_of_a_split(tmp_path):
    for name, numbers in (("train", range(6)), ("validation", range(6, 8))):
        (tmp_path / name).mkdir()
        for i in numbers:
            (tmp_path / name / f"{i}.png").write_bytes(png(i))
        lines = [f"{i}.png,{plain(i)}" for i in numbers]
        write(tmp_path / name, "metadata.csv", "\n".join(["file_name,text", *lines]))
    with pytest.raises(InputError, match=rf"such as table:'{tmp_path}/\*/\*\.csv'"):
        opened(tmp_path)
    assert opened(f"{tmp_path}/*/*.csv").counts == {"train": 6, "val": 2}


@pytest.mark.parametrize("form", [" images/{}.png ", "file://{root}/images/{}.png"])
def test_paths_with_spaces_around_them_and_file_urls(folder, form):
    lines = [f'{form.format(i, root=folder)},"{caption(i)}"' for i in NUMBERS]
    check_captions(opened(write(folder, "t.csv", "\n".join(["image,caption", *lines]))), 1)


def test_links_beside_files_are_not_looked_at(folder):
    links = csv(folder, "image_path,URL,TEXT", lambda i: f"https://localhost/{i}.jpg", plain)
    assert len(samples_of(opened(links))) == COUNT
    lines = [f"https://localhost/{i}.jpg,{plain(i)}" for i in NUMBERS]
    only = write(folder, "only.csv", "\n".join(["link,caption", *lines]))
    with pytest.raises(InputError, match="--url_col=link --caption_col=caption "):
        opened(only)


def test_what_is_left_out_names_file_and_line(folder):
    path = csv(folder, "image,caption", lambda i: plain(i) if i != 3 else "a,b,c")
    source = opened(path)
    assert (source.rejected, source.examples) == (
        {"malformed_row": 1},
        {"malformed_row": f"{path}:5"},
    )
    assert str(samples_of(source)[PATHS[4]].place) == f"{path}:6"
    only = write(folder, "only.csv", "image,caption\nx,y,z\n")
    with pytest.raises(InputError, match=r"malformed_row 1 \(.*only\.csv:2\)"):
        _ = opened(only).counts


# --- text -----------------------------------------------------------------------------------


def test_delimiters_behind_the_last_cell(folder):
    source = opened(csv(folder, "image,caption", plain, lambda i: ""))
    assert [s.captions for s in samples_of(source).values()] == [
        (plain(int(key[7])),) for key in samples_of(source)
    ]


def test_the_line_with_which_excel_names_the_delimiter(folder):
    check_captions(opened(write(folder, "t.csv", f"sep=;\nimage;caption\n{rows(';')}\n")), 1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"image,caption\ra.png,x\r", "lines that end in"),
        ("t.txt", b"images/0.png 0\nimages/1.png 1\n", "give --delimiter=' '"),
        ("t.csv", gzip.compress(b"image,caption\n", mtime=0), "received gzip in .*; gunzip it"),
        ("t.jsonl.gz", gzip.compress(b"{}", mtime=0), "received gzip"),
        ("t.xlsx", b"PK\x03\x04...", "a zip archive or a spreadsheet"),
        ("t.csv", b"PAR1....PAR1", "ending .parquet"),
        ("t.parquet", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("t.csv", b"<!doctype html><html>", "a web page"),
    ],
)
def test_a_file_of_another_kind_is_told_by_what_it_is(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        opened(tmp_path / name)


def test_spaces_as_delimiter(folder):
    text = "\n".join(f"images/{i}.png {i % 2}" for i in NUMBERS)
    path = write(folder, "t.txt", text)
    own = {"delimiter": " ", "columns": "image,label"}
    found = samples_of(opened(path, own=own))
    assert [found[path].label for path in PATHS] == [i % 2 for i in NUMBERS]


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_small_images_in_base64(folder, prefix, name):
    cells = [(prefix + base64.b64encode(png(i)).decode(), caption(i)) for i in NUMBERS]
    if name == "t.parquet":
        columns = dict(zip(("image", "caption"), zip(*cells, strict=True), strict=True))
        pq.write_table(pa.table({n: list(own) for n, own in columns.items()}), folder / name)
        check_captions(opened(folder / name), 1)
        return
    if name == "t.csv":
        lines = ["image,caption", *(f'"{image}","{text}"' for image, text in cells)]
    else:
        lines = [json.dumps({"image": image, "caption": text}) for image, text in cells]
    check_captions(opened(write(folder, name, "\n".join(lines) + "\n")), 1)


@pytest.mark.parametrize("missing", ["", " "])
def test_rows_without_a_key_are_known_by_their_path(folder, missing):
    lines = ["image,caption,name"]
    for i in NUMBERS:
        lines.append(f"images/{i}.png,{plain(i)},{missing if i < 3 else f'n{i}'}")
    source = opened(write(folder, "t.csv", "\n".join(lines)), key_column="name")
    assert len(samples_of(source)) == len(NUMBERS) and not source.rejected
