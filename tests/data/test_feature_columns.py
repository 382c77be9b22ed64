"""Numbers beside images: what they may be, how they are stored, and what the stream gives."""

import csv
import json

import numpy as np
import pytest
from helpers import web_archives
from helpers.preparing import all_bytes, quiet, run, write_png

from xsample_tf import data
from xsample_tf.data import sources
from xsample_tf.data.feature_columns import FeatureColumn, check_default, choose_columns, names_of
from xsample_tf.errors import InputError

AGE = FeatureColumn("age", "int64")
TAGS = FeatureColumn("tags", "float32", 3)


def chosen(*values, name="age"):
    (column,) = choose_columns([name], {name.partition(":")[0]: values}, "t.csv")
    return column


@pytest.mark.parametrize(
    ("values", "dtype", "length"),
    [
        ((3, None, -1), "int64", None),
        (("30", " 31 ", "+2", "", "nan", "4.0", "1e2"), "int64", None),
        (("30", ".5"), "float32", None),
        ((1, 2.5, float("nan")), "float32", None),
        ((True, False), "int64", None),
        ((np.int32(4), np.array(5)), "int64", None),
        (([1, 0, 1], (None), [0, 0, 0]), "int64", 3),
        (("[1, 0.5]", "[0, 0]"), "float32", 2),
        ((np.array([3], np.uint8),), "int64", 1),
    ],
)
def test_dtype_and_length_are_those_of_the_first_values(values, dtype, length):
    assert chosen(*values) == FeatureColumn("age", dtype, length)
    assert chosen(*values, name="age:float") == FeatureColumn("age", "float32", length)


@pytest.mark.parametrize(
    ("values", "received"),
    [
        ((30, "old"), "'old'"),
        (({"years": 3},), r"\{'years': 3\}"),
        (([[1, 0], [0, 1]],), r"\[\[1, 0\], \[0, 1\]\]"),
        (([1, None],), r"\[1, None\]"),
        (([],), r"\[\]"),
        ((float("inf"),), "inf"),
        (("1_000",), "'1_000'"),
        (("x" * 100,), "'x{59}\\.\\.\\.$"),
        ((None, ""), "nothing in the first rows"),
        (([1, 0], [1, 0, 1]), "2 numbers, 3 numbers"),
        (([1, 0], 1), "2 numbers, a number"),
    ],
)
def test_what_is_no_number_is_named(values, received):
    with pytest.raises(InputError, match=rf"'age' of t\.csv, received {received}"):
        chosen(*values)


def test_values_are_stored_as_the_column_says():
    assert AGE.numbers(" 42 ", None, "a.png") == [42]
    assert AGE.numbers("9007199254740993", None, "a.png") == [2**53 + 1]
    assert AGE.numbers(None, 7.0, "a.png") == [7]
    assert TAGS.numbers([1, 0, 0.5], None, "a.png") == [1.0, 0.0, 0.5]
    assert TAGS.numbers("", 2, "a.png") == [2.0, 2.0, 2.0]
    assert all(type(n) is float for n in TAGS.numbers([1, 0, 1], None, "a.png"))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (AGE, None, "a number in 'age' of a.png, received nothing; .* --feature_default"),
        (AGE, float("nan"), "received nothing; .* --feature_default"),
        (AGE, "old", "a number in 'age' of a.png, received 'old'"),
        (AGE, [3], r"a number in 'age' of a.png, received \[3\]"),
        (AGE, 3.5, "whole numbers in 'age'.* received 3.5 of a.png; name the column as age:float"),
        (AGE, 2**63, "that int64 can hold in 'age', received 9223372036854775808 of a.png"),
        (TAGS, [1, 0], r"a list of 3 numbers in 'tags' of a.png, received \[1, 0\]"),
        (TAGS, [1, 0, 1e39], "that float32 can hold in 'tags'"),
    ],
)
def test_a_value_that_does_not_fit_names_column_and_image(column, value, message):
    with pytest.raises(InputError, match=message) as caught:
        column.numbers(value, None, "a.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["image", "key", "captions", "embedding", "substituted", "index"])
def test_names_of_the_records_own_parts_are_refused(name):
    with pytest.raises(InputError, match=f"names other than .*, received {name!r}"):
        names_of([name])
    with pytest.raises(InputError, match="'label' is the class"):
        data.SourceOptions(feature_columns=("label",))
    for columns, message in ((["age", "age:float"], "twice"), (["age:int"], "NAME:float")):
        with pytest.raises(InputError, match=message):
            names_of(columns)


def test_a_default_must_fit_the_columns():
    check_default([AGE], 3.0)
    check_default([TAGS], 0.5)
    with pytest.raises(InputError, match="a whole number for 'age', .* received 0.5"):
        check_default([TAGS, AGE], 0.5)
    with pytest.raises(InputError, match="a finite number, received nan"):
        check_default([TAGS], float("nan"))
    with pytest.raises(InputError, match="expected feature_columns with it"):
        check_default([], 1.0)


# --- end to end -----------------------------------------------------------------------------


def written(folder, rows, kind="jsonl"):
    """A table of images beside it; returns the source."""
    folder.mkdir(exist_ok=True)
    rows = [{"image": f"{i}.png", "caption": f"face {i}"} | row for i, row in enumerate(rows)]
    for i, row in enumerate(rows):
        if not (folder / row["image"]).exists():
            write_png(folder / row["image"], i)
    if kind == "csv":
        with open(folder / "t.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        (folder / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return f"table:{folder}/t.{kind}"


def options(*columns, **more):
    return {"feature_columns": columns, "validation_fraction": 0} | more


def prepared(source, output, *columns, **arguments):
    return run(source, output, options=options(*columns), **arguments)


def values(output, name, split="train"):
    """The values of a column, sorted, as JSON."""
    side = data.side_information(output, split)
    return sorted(map(json.dumps, side[name].tolist()))


def test_a_table_keeps_numbers_and_vectors_and_training_gets_them(tmp_path):
    rows = [{"age": 20 + i, "tags": [i % 2, 0.5, 1], "score": i / 2} for i in range(12)]
    dataset = prepared(written(tmp_path / "t", rows), tmp_path / "out", "age", "tags", "score")
    described = json.loads((tmp_path / "out" / "dataset.json").read_text())["columns"]
    assert described == [
        {"name": "age", "dtype": "int64", "length": None},
        {"name": "tags", "dtype": "float32", "length": 3},
        {"name": "score", "dtype": "float32", "length": None},
    ]
    assert data.read_dataset(tmp_path / "out") == dataset
    stream = data.load(tmp_path / "out", "train", 4, lambda image, seed: image[None, 1:2, 1:2])
    spec = stream.element_spec[1]
    assert (spec["age"].dtype, spec["age"].shape) == ("int64", [4])
    assert (spec["tags"].dtype, spec["tags"].shape) == ("float32", [4, 3])
    for pixels, side in stream.take(6):  # An image's shade is its number.
        number = pixels[:, 0, 0, 0, 1].numpy()
        np.testing.assert_array_equal(side["age"], 20 + number)
        np.testing.assert_array_equal(side["score"], number / 2)
        expected = np.stack([number % 2, 0.5 + 0 * number, 1 + 0 * number], axis=1)
        np.testing.assert_array_equal(side["tags"], expected)


def test_text_of_csv_is_read_as_numbers(tmp_path):
    rows = [{"age": "20", "tags": "[1, 0]"}, {"age": "21.0", "tags": "[0, 0]"}]
    prepared(written(tmp_path / "t", rows, "csv"), tmp_path / "out", "age", "tags:float")
    assert values(tmp_path / "out", "age") == ["20", "21"]
    assert values(tmp_path / "out", "tags") == ["[0.0, 0.0]", "[1.0, 0.0]"]


def test_without_columns_records_and_manifest_are_as_before(tmp_path):
    source = written(tmp_path / "t", [{"age": i} for i in range(6)])
    run(source, tmp_path / "plain", options={"validation_fraction": 0})
    assert "columns" not in json.loads((tmp_path / "plain" / "dataset.json").read_text())
    with_age = prepared(source, tmp_path / "with", "age")
    assert with_age.columns and data.read_dataset(tmp_path / "plain").columns == ()
    stored = all_bytes(tmp_path / "plain")["train/00000.tfrecord"]
    assert b"feature/age" not in stored
    assert b"feature/age" in all_bytes(tmp_path / "with")["train/00000.tfrecord"]
    assert set(data.side_information(tmp_path / "plain", "train")) == {"key_hash"}


def test_a_missing_value_ends_the_preparation_unless_there_is_a_default(tmp_path):
    source = written(tmp_path / "t", [{"age": 20}, {"age": None}, {}])
    with pytest.raises(InputError, match="'age' of [12].png, received nothing"):
        prepared(source, tmp_path / "out", "age")
    assert not (tmp_path / "out" / "dataset.json").exists()
    prepared(source, tmp_path / "other", "age", feature_default=40)
    assert values(tmp_path / "other", "age") == ["20", "40", "40"]


def test_other_numbers_or_another_default_do_not_go_on(tmp_path):
    source = written(tmp_path / "t", [{"age": 20}, {"age": 30}])
    prepared(source, tmp_path / "out", "age")
    with pytest.raises(InputError, match="made with feature_default=None, now 1"):
        prepared(source, tmp_path / "out", "age", feature_default=1)
    with pytest.raises(InputError, match="made with feature_columns=.*int64.*now .*float32"):
        prepared(source, tmp_path / "out", "age:float")
    written(tmp_path / "t", [{"age": 20}, {"age": 31}])
    with pytest.raises(InputError, match="made with source="):
        prepared(source, tmp_path / "out", "age")


def test_two_rows_of_one_image_have_one_number(tmp_path):
    rows = [{"image": "a.png", "age": age} for age in (20, 20, 30)]
    prepared(written(tmp_path / "t", rows[:2]), tmp_path / "out", "age")
    message = r"age: expected one value for an image, received 20 in .*t.jsonl:1 and 30 in .*:3"
    with pytest.raises(InputError, match=message):
        prepared(written(tmp_path / "t", rows), tmp_path / "other", "age")


def test_a_validation_source_has_the_columns_of_the_first(tmp_path):
    train = written(tmp_path / "t", [{"age": 20.5}, {"age": 30}])
    held_out = written(tmp_path / "v", [{"age": 40}, {"age": 41}])
    prepared(train, tmp_path / "out", "age", validation_source=held_out)
    assert values(tmp_path / "out", "age", "val") == ["40.0", "41.0"]
    with pytest.raises(InputError, match=r"whole numbers in 'age'.* 20.5 of val/0.png"):
        prepared(held_out, tmp_path / "other", "age", validation_source=train)


def test_what_is_appended_has_the_columns_of_the_first(tmp_path):
    first = written(tmp_path / "t", [{"age": 20.5}, {"age": 30}])
    prepared(first, tmp_path / "out", "age")
    rows = [{"image": f"new{i}.png", "age": 50 + i} for i in range(2)]
    data.append(written(tmp_path / "more", rows), tmp_path / "out", log=quiet)
    assert values(tmp_path / "out", "age") == ["20.5", "30.0", "50.0", "51.0"]
    prepared(written(tmp_path / "w", [{"age": 20}]), tmp_path / "whole", "age")
    rows = [{"image": "new.png", "age": 50.5}]
    with pytest.raises(InputError, match="whole numbers in 'age'.* received 50.5 of new.png"):
        data.append(written(tmp_path / "even_more", rows), tmp_path / "whole", log=quiet)


def test_directories_with_other_columns_give_what_all_have(tmp_path):
    for name, rows, columns in (
        ("a", {"age": 1, "score": 2}, ("age", "score")),
        ("b", {"age": 3, "score": 2}, ("age",)),
        ("c", {"age": 1.5}, ("age",)),
    ):
        prepared(written(tmp_path / f"raw_{name}", [rows] * 2), tmp_path / name, *columns)
    side = data.side_information([tmp_path / "a", tmp_path / "b"], "train")
    assert set(side) == {"age", "key_hash"} and sorted(side["age"]) == [1, 1, 3, 3]
    with pytest.raises(InputError, match="'age' to be alike in all .*int64 in .*a, float32 in .*c"):
        data.side_information([tmp_path / "a", tmp_path / "c"], "train")


@pytest.mark.parametrize("kind", ["webdataset", "img2dataset"])
def test_fields_of_web_archives_are_kept(kind, tmp_path):
    if kind == "webdataset":
        members = [
            member
            for i in range(5)
            for member in web_archives.pair(f"{i:03d}", i, f"c {i}", width=20 + i, tags=[i, 1])
        ]
        source = f"webdataset:{web_archives.write_tar(tmp_path / 'a.tar', members)}"
        prepared(source, tmp_path / "out", "width", "tags")
        assert values(tmp_path / "out", "width") == ["20", "21", "22", "23", "24"]
        assert values(tmp_path / "out", "tags")[-1] == "[4, 1]"
    else:
        web_archives.write_img2dataset(tmp_path / "in", "tfrecord")
        prepared(f"img2dataset:{tmp_path}/in", tmp_path / "out", "width")
        assert values(tmp_path / "out", "width") == ["24"] * 6
    with pytest.raises(InputError, match="feature_columns: no .*'heigth'"):
        sources.open_source(
            source if kind == "webdataset" else f"img2dataset:{tmp_path}/in",
            data.SourceOptions(feature_columns=("heigth",)),
        )


def test_a_list_of_samples_of_ones_own_has_numbers(tmp_path):
    pixels = np.zeros((8, 8), np.uint8)

    @sources.register("numbered")
    def open_numbered(where, options, classes):
        samples = [
            sources.Sample(f"{i}", pixels + i, (f"c {i}",), numbers={"age": i, "tags": [i, 0]})
            for i in range(int(where))
        ]
        return sources.SampleList(
            {"all": samples}, options.seed, captioned=True, feature_columns=options.feature_columns
        )

    prepared("numbered:3", tmp_path / "out", "age", "tags")
    assert values(tmp_path / "out", "tags") == ["[0, 0]", "[1, 0]", "[2, 0]"]
    with pytest.raises(InputError, match="expected numbers, .* in 'size' of the samples"):
        prepared("numbered:3", tmp_path / "other", "size")


def test_sources_without_numbers_and_files_used_where_they_lie_refuse_columns(tmp_path):
    with pytest.raises(InputError, match="feature_columns: scenes: has no columns of numbers"):
        prepared("scenes:count=4,size=16", tmp_path / "out", "age")
    web_archives.write_img2dataset(tmp_path / "in", "tfrecord")
    with pytest.raises(InputError, match="none for records that are used where they lie.* width"):
        data.prepare_in_place(
            f"img2dataset:{tmp_path}/in",
            tmp_path / "other",
            options=data.SourceOptions(feature_columns=("width",)),
            log=quiet,
        )


def test_an_append_keeps_the_columns_of_the_first_preparation(tmp_path):
    first = [{"age": 20 + i, "score": i + 0.25} for i in range(3)]
    prepared(written(tmp_path / "a", first), tmp_path / "out", "age", "score")
    more = [{"image": f"m{i}.png", "age": 40 + i, "score": i + 0.5} for i in range(2)]
    source = written(tmp_path / "b", more)
    for columns in (("age",), ("age", "score", "size")):
        named = data.SourceOptions(feature_columns=columns)
        with pytest.raises(InputError, match="expected those of .*age, score.*prepare again"):
            data.append(source, tmp_path / "out", options=named, log=quiet)
    same = data.SourceOptions(feature_columns=("score", "age"))
    made = data.append(source, tmp_path / "out", options=same, log=quiet)
    assert made.records("train") == 5
    assert values(tmp_path / "out", "age") == ["20", "21", "22", "40", "41"]
    assert values(tmp_path / "out", "score") == ["0.25", "0.5", "1.25", "1.5", "2.25"]
