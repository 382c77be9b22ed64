"""Tables as people hold them: read right, or refused with the next step."""

import base64
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.tables import COUNT, caption, check_captions, opened, png, rows, samples_of, write

from xsample_tf.data import image_files
from xsample_tf.errors import InputError

# --- delimited text -------------------------------------------------------------------------


@pytest.mark.parametrize("sep", [";", "\t", "|", "| "])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt"])
def test_any_delimiter_is_found(folder, sep, name):
    path = write(folder, name, f"image{sep}caption\n{rows(sep)}\n")
    check_captions(opened(path), 1)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252", "utf-32"])
def test_the_encoding_is_found_and_said(folder, encoding):
    text = "image,caption\n" + "".join(f"images/{i}.png,Ein Café № {i}\n" for i in range(COUNT))
    text = text.replace("№ ", "") if encoding == "cp1252" else text
    source = opened(write(folder, "t.csv", text, encoding))
    assert all(s.captions[0].startswith("Ein Café") for s in samples_of(source).values())
    said = any(line.startswith("encoding") for line in source.understanding())
    assert said == (encoding != "utf-8-sig")


def test_an_encoding_that_is_given_is_used(folder):
    text = "image,caption\n" + "".join(f"images/{i}.png,Дом {i}\n" for i in range(COUNT))
    path = write(folder, "t.csv", text, "cp1251")
    found = samples_of(opened(path, own={"encoding": "cp1251"}))
    assert found["images/3.png"].captions == ("Дом 3",)
    with pytest.raises(InputError, match="encoding: expected a name that Python knows"):
        opened(path, own={"encoding": "cp-1251x"})


@pytest.mark.parametrize("sep", [",", "\t"])
def test_a_quoted_line_break_is_one_cell(folder, sep):
    lines = [f'images/{i}.png{sep}"scene {i}\nsecond line"' for i in range(COUNT)]
    path = write(folder, "t.csv", "\n".join([f"image{sep}caption", *lines]))
    found = samples_of(opened(path))
    assert found["images/2.png"].captions == ("scene 2\nsecond line",)
    assert len(found) == COUNT


def test_quotes_that_do_not_enclose_a_cell_cost_no_other_row(folder):
    lines = [f'images/{i}.png,"scene {i}"' for i in range(COUNT)]
    lines[3] = 'images/3.png,"scene 3'  # Open: it would swallow the next row.
    lines[5] = 'images/5.png,"Hello" said the dog'
    source = opened(write(folder, "t.csv", "\n".join(["image,caption", *lines])))
    found = samples_of(source)
    assert source.rejected == {"malformed_row": 1}
    assert found.keys() == {f"images/{i}.png" for i in range(COUNT)} - {"images/3.png"}
    assert found["images/5.png"].captions == ('"Hello" said the dog',)


def test_quotes_that_are_escaped_by_a_backslash(folder):
    lines = [rf'images/{i}.png,"a \"big\" sign, {i}"' for i in range(COUNT)]
    source = opened(write(folder, "t.csv", "\n".join(["image,caption", *lines])))
    assert samples_of(source)["images/1.png"].captions == ('a "big" sign, 1',)


@pytest.mark.parametrize("name", ["Flickr8k.token.txt", "token.tsv"])
def test_a_token_file_of_flickr8k(folder, name):
    lines = [f"{i}.png#{v}\t{caption(i, v)}" for i in range(COUNT) for v in range(3)]
    path = write(folder, name, "\n".join(lines))
    source = opened(path, image_root=str(folder / "images"))
    check_captions(source, 3)
    assert any("no header line" in line for line in source.understanding())


def test_results_of_flickr30k(folder):
    lines = [f"{i}.png| {v}| {caption(i, v)}" for i in range(COUNT) for v in range(2)]
    lines[4] = lines[4].replace("| 0|", "|")  # The published file has such a row.
    path = write(folder, "results.csv", "\n".join(["image_name| comment_number| comment", *lines]))
    source = opened(path, image_root=str(folder / "images"))
    assert source.rejected == {"malformed_row": 1}
    assert samples_of(source)["1.png"].captions == (caption(1, 0), caption(1, 1))


def test_columns_without_names_need_names(folder):
    path = write(folder, "t.csv", "\n".join(f"{i},images/{i}.png,one text" for i in range(COUNT)))
    with pytest.raises(InputError, match=r"no header line .*name its 3 columns, such as --columns"):
        opened(path)
    found = samples_of(opened(path, own={"columns": "id,image,caption"}))
    assert len(found) == COUNT and found["images/0.png"].captions == ("one text",)


# --- columns --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["title", "Text", " description ", "ALT_TEXT", "Caption"])
def test_names_of_captions_without_regard_to_case(folder, name):
    path = write(
        folder, "t.csv", f"Filename,{name},label\n{rows(',', ',cat')}\n".replace(", v", " v")
    )
    source = opened(path)
    assert all(len(s.captions) == 1 for s in samples_of(source).values())
    assert source.captioned and source.classes.names == ("cat",)


def test_text_under_another_name_is_never_replaced_by_class_names(folder):
    text = rows(",", ",cat").replace(", v", " v")
    path = write(folder, "t.csv", f"image,beschreibung,label\n{text}\n")
    with pytest.raises(InputError, match="text in 'beschreibung'; name it with --caption_column=b"):
        opened(path)
    assert not opened(path, caption_columns=("none",)).captioned
    assert opened(path, caption_columns=("beschreibung",)).captioned
    two = f"image,title,text\n{text}\n"
    with pytest.raises(InputError, match="received 'text', 'title'"):
        opened(write(folder, "two.csv", two))


def test_class_names_alone_are_not_text(folder):
    path = write(
        folder, "t.csv", "image,label\n" + "\n".join(f"images/{i}.png,cat" for i in range(8))
    )
    source = opened(path)
    assert not source.captioned
    assert "captions: none; no column has text" in source.understanding()


@pytest.mark.parametrize("dump", [json.dumps, str])
def test_lists_in_cells_are_several_captions(folder, dump):
    lines = []
    for i in range(COUNT):
        cell = dump([caption(i, v) for v in range(3)]).replace('"', '""')
        lines.append(f'images/{i}.png,"{cell}"')
    source = opened(write(folder, "t.csv", "\n".join(["image,caption", *lines])))
    check_captions(source, 3)
    assert any("lists of captions" in line for line in source.understanding())


def test_missing_captions_and_columns_that_begin_late(folder):
    values = [float("nan"), None, "", "one", "two", "three", "four", "five"]
    objects = [
        {"image": f"images/{i}.png"} | ({"caption": v} if i else {}) for i, v in enumerate(values)
    ]
    source = opened(write(folder, "t.jsonl", "\n".join(map(json.dumps, objects))))
    found = samples_of(source)
    # An empty text is counted as such when records are made.
    assert [found[f"images/{i}.png"].captions for i in (0, 1, 2)] == [(), (), ("",)]
    assert found["images/3.png"].captions == ("one",)


@pytest.mark.parametrize("value", [[0, 1, 0], {"id": 3, "name": "dog"}])
def test_labels_that_are_not_a_number_or_a_name(folder, value):
    objects = [
        {"image": f"images/{i}.png", "caption": caption(i), "label": value} for i in range(8)
    ]
    path = write(folder, "t.jsonl", "\n".join(map(json.dumps, objects)))
    with pytest.raises(InputError, match=r"label_column: .*'label'.*--label_column=none") as caught:
        opened(path)
    check_captions(opened(path, label_column="none"), 1)
    if isinstance(value, dict):
        assert "label.name" in str(caught.value)
        assert opened(path, label_column="label.name").classes.names == ("dog",)


def test_two_labels_of_one_image_are_an_error_that_names_the_rows(folder):
    rows_of_two = "images/0.png,one text,a\nimages/1.png,two texts,a\nimages/0.png,again,b\n"
    text = f"image,caption,label\n{rows_of_two}"
    path = write(folder, "t.csv", text)
    with pytest.raises(
        InputError, match=r"'a' in .*t\.csv:2 and 'b' in .*t\.csv:4.*label_column=none"
    ):
        _ = opened(path).counts
    assert samples_of(opened(path, label_column="none"))["images/0.png"].captions == (
        "one text",
        "again",
    )


def test_captions_that_are_not_text_are_an_error_or_a_reject(folder):
    objects = [
        {"image": f"images/{i}.png", "caption": {"en": caption(i), "de": "x"}} for i in range(8)
    ]
    path = write(folder, "t.jsonl", "\n".join(map(json.dumps, objects)))
    with pytest.raises(
        InputError, match=r"a dict of en, de; name a field: --caption_column=caption.en"
    ):
        opened(path)
    check_captions(opened(path, caption_columns=("caption.en",)), 1)
    late = [{"image": f"images/{i % 8}.png", "caption": caption(i)} for i in range(1100)]
    late[1050]["caption"] = {"en": "x"}
    source = opened(write(folder, "late.jsonl", "\n".join(map(json.dumps, late))))
    assert source.rejected == {"caption_not_text": 1}


# --- JSON -----------------------------------------------------------------------------------


def sentences(i: int, versions: int) -> list[dict]:
    return [{"tokens": ["a"], "raw": caption(i, v), "sentid": v} for v in range(versions)]


def test_the_splits_of_karpathy(folder):
    split = ["train"] * 5 + ["restval", "val", "test"]
    images = [
        {"filepath": "images", "filename": f"{i}.png", "imgid": i, "sentences": sentences(i, 5)}
        | {"split": split[i]}
        for i in range(COUNT)
    ]
    source = opened(write(folder, "dataset_x.json", json.dumps({"images": images, "dataset": "x"})))
    assert source.counts == {"train": 6, "val": 1}
    assert source.rejected == {"split_test": 1}
    check_captions(source, 5, count=7)
    lines = "\n".join(json.dumps(image) for image in images)
    source = opened(write(folder, "t.jsonl", lines), image_root=str(folder / "images"))
    assert source.counts == {"train": 6, "val": 1}
    check_captions(source, 5, count=7)


def test_captions_of_coco(folder):
    images = [{"id": 10 + i, "file_name": f"images/{i}.png"} for i in range(COUNT)]
    annotations = [
        {"id": i * 10 + v, "image_id": 10 + i, "caption": caption(i, v)}
        for v in range(2)
        for i in range(COUNT)
    ]
    content = {"info": {}, "images": images, "annotations": annotations}
    check_captions(opened(write(folder, "captions.json", json.dumps(content))), 2)
    content["annotations"] = [{"image_id": 10, "category_id": 3}]
    with pytest.raises(InputError, match=r"COCO's captions are in captions_\*\.json"):
        opened(write(folder, "instances.json", json.dumps(content)))


def test_arrays_and_captions_by_name(folder):
    objects = [{"image": f"images/{i}.png", "caption": caption(i)} for i in range(COUNT)]
    check_captions(opened(write(folder, "a.json", json.dumps(objects))), 1)
    check_captions(opened(write(folder, "a.jsonl", json.dumps(objects))), 1)
    check_captions(opened(write(folder, "lines.json", "\n".join(map(json.dumps, objects)))), 1)
    check_captions(opened(write(folder, "data.json", json.dumps({"data": objects}, indent=1))), 1)
    named = {f"images/{i}.png": [caption(i, 0), caption(i, 1)] for i in range(COUNT)}
    check_captions(opened(write(folder, "named.json", json.dumps(named))), 2)
    with pytest.raises(InputError, match="received an object of 'x', 'y'"):
        opened(write(folder, "other.json", json.dumps({"x": 1, "y": 2}, indent=1)))


# --- Parquet --------------------------------------------------------------------------------


def _image_cells() -> dict[str, list]:
    return {
        "binary": [png(i) for i in range(COUNT)],
        "struct": [{"bytes": png(i), "path": f"{i}.png"} for i in range(COUNT)],
        "other_names": [{"data": png(i), "name": f"{i}.png"} for i in range(COUNT)],
        "list": [[{"bytes": png(i), "path": None}] for i in range(COUNT)],
        "path": [f"images/{i}.png" for i in range(COUNT)],
        "path_in_struct": [{"bytes": None, "path": f"images/{i}.png"} for i in range(COUNT)],
    }


@pytest.mark.parametrize("kind", [*_image_cells(), "numbers", "large", "dictionary"])
def test_parquet_in_each_of_the_hub_s_forms(folder, kind):
    if kind == "numbers":
        cells = pa.array([list(png(i)) for i in range(COUNT)], pa.list_(pa.uint8()))
    elif kind == "large":
        cells = pa.array(_image_cells()["binary"], pa.large_binary())
    elif kind == "dictionary":
        cells = pa.array(_image_cells()["path"]).dictionary_encode()
    elif kind == "path_in_struct":
        form = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        cells = pa.array(_image_cells()[kind], form)
    else:
        cells = pa.array(_image_cells()[kind])
    captions = pa.array([caption(i) for i in range(COUNT)], pa.large_string())
    pq.write_table(
        pa.table({"image": cells, "caption": captions}), folder / "t.parquet", row_group_size=3
    )
    check_captions(opened(folder / "t.parquet"), 1)


def test_rows_of_equal_bytes_are_one_image(folder):
    cells = [{"bytes": png(i), "path": f"x_{i}.png"} for v in range(5) for i in range(COUNT)]
    texts = [caption(i, v) for v in range(5) for i in range(COUNT)]
    ids = [i for v in range(5) for i in range(COUNT)]
    pq.write_table(pa.table({"image": cells, "caption": texts, "id": ids}), folder / "t.parquet")
    check_captions(opened(folder / "t.parquet"), 5)
    source = opened(folder / "t.parquet", key_column="id")
    check_captions(source, 5)
    assert samples_of(source).keys() == {str(i) for i in range(COUNT)}


def test_an_image_of_a_list_is_chosen(folder):
    cells = [[png(i), png((i + 1) % COUNT)] for i in range(COUNT)]
    pq.write_table(
        pa.table({"images": cells, "caption": [caption((i + 1) % COUNT) for i in range(COUNT)]}),
        folder / "t.parquet",
    )
    check_captions(opened(folder / "t.parquet", own={"image_index": 1}), 1)


def test_members_of_webdataset_in_parquet(folder):
    fields = [json.dumps({"caption": caption(i, 1)}) for i in range(COUNT)]
    table = {"jpg": [png(i) for i in range(COUNT)], "json": fields, "__key__": list("abcdefgh")}
    pq.write_table(
        pa.table(table | {"txt": [caption(i) for i in range(COUNT)]}), folder / "a.parquet"
    )
    check_captions(opened(folder / "a.parquet"), 1)
    source = opened(folder / "a.parquet", caption_columns=("json.caption",))
    assert {s.captions[0] for s in samples_of(source).values()} == {
        caption(i, 1) for i in range(COUNT)
    }


def test_split_files_of_the_hub(folder):
    def part(name, numbers):
        (folder / "data").mkdir(exist_ok=True)
        cells = {"image": [png(i) for i in numbers], "caption": [caption(i) for i in numbers]}
        pq.write_table(pa.table(cells), folder / "data" / name)

    part("train-00000-of-00002.parquet", range(4))
    part("train-00001-of-00002.parquet", range(4, 6))
    part("test-00000-of-00001.parquet", [6])
    source = opened(folder / "data")
    assert (source.counts, source.rejected) == ({"all": 6}, {"split_test": 1})
    assert opened(folder / "data", validation_split="test").counts == {"train": 6, "val": 1}
    part("validation-00000-of-00001.parquet", [7])
    source = opened(f"{folder}/data/*.parquet")
    assert (source.counts, source.rejected) == ({"train": 6, "val": 1}, {"split_test": 1})


# --- images and paths -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t.tsv", "t.jsonl"])
def test_images_in_base64(folder, name):
    # Long enough to be left in the file, and to be an error of many lines if it were shown.
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, 64, 64, 3), np.uint8)
    images = [image_files.encode_png(pixels) for pixels in noise]
    texts = [base64.b64encode(image).decode() for image in images]
    if name == "t.tsv":
        lines = ["index\timage\tcaption"] + [f"{i}\t{t}\tone text" for i, t in enumerate(texts)]
    else:
        lines = [json.dumps({"image": t, "caption": "one text"}) for t in texts]
    source = opened(write(folder, name, "\n".join(lines)))
    found = [source.read(sample.image) for sample in samples_of(source).values()]
    assert sorted(found) == sorted(images)


@pytest.mark.parametrize(
    ("form", "root"),
    [
        (r"images\{}.png", None),
        ("images/{}%2Epng", None),
        ("/{}.png", "images"),
        ("{}", "images"),
        (r"E:\\photos\of mine\{}.png", "images"),
        ("http_cache/{}.png#0", "images"),
    ],
)
def test_paths_of_other_machines(folder, form, root):
    text = "\n".join(f'"{form.format(i)}","{caption(i)}"' for i in range(COUNT))
    path = write(folder, "t.csv", f"filepath,caption\n{text}\n")
    source = opened(path, image_root=root and str(folder / root))
    check_captions(source, 1)
    assert any("paths are read" in line for line in source.understanding())


def test_a_root_that_has_none_of_the_files_says_which_one_has(folder):
    (folder / "meta").mkdir()
    path = write(folder / "meta", "t.csv", f"filepath,caption\n{rows(',').replace(', v', ' v')}\n")
    with pytest.raises(InputError, match=rf"; --image_root={folder} has 8 of the first 8"):
        opened(path)
    check = opened(path, image_root=str(folder))
    assert len(samples_of(check)) == COUNT


def test_paths_are_not_read_by_name_alone_where_names_are_not_unique(folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "0.png").write_bytes(png(ord(name) % 8))
    path = write(folder, "t.csv", "image,caption\nx/a/0.png,text one\nx/b/0.png,text two\n")
    with pytest.raises(InputError, match="no file is there; looked for"):
        opened(path, image_root=str(folder / "a"))
