"""Data sets that the `datasets` package opens, in the forms in which people keep them."""

import json

import pytest
from helpers import web_archives as made

from xsample_tf.data import prepare, sources
from xsample_tf.errors import InputError

datasets = pytest.importorskip("datasets")
COUNT = 4  # Images, of two rows each.
ORDER = [0, 1, 2, 3, 1, 0, 3, 2]  # Rows of an image do not follow each other.
RIGHT = {(f"caption of {i}", f"another of {i}") for i in range(COUNT)}


def opened(where, **options):
    own = options.pop("own", {})
    return sources.open_source(f"hf:{where}", sources.Options(**options, own=own))


def samples_of(source) -> list[sources.Sample]:
    return [s for split, n in source.counts.items() for s in source.samples(split, 0, n)]


def columns(order=ORDER) -> dict[str, list]:
    """A row for each caption."""
    first = [i in order[:k] for k, i in enumerate(order)]
    words = [
        f"{'another' if later else 'caption'} of {i}" for i, later in zip(order, first, strict=True)
    ]
    return {
        "image": [{"bytes": made.jpeg(i), "path": f"{i}.jpg"} for i in order],
        "caption": words,
        "name": [f"n{i}" for i in order],
        "kind": [i % 2 for i in order],
    }


def features(**more):
    kinds = {
        "image": datasets.Image(),
        "caption": datasets.Value("string"),
        "name": datasets.Value("string"),
        "kind": datasets.ClassLabel(names=["even", "odd"]),
    }
    return datasets.Features(kinds | more)


def saved(folder):
    made_set = datasets.Dataset.from_dict(columns(), features=features())
    datasets.DatasetDict({"train": made_set}).save_to_disk(folder / "saved")
    return folder / "saved"


def parquet(folder):
    (folder / "parquet").mkdir()
    made_set = datasets.Dataset.from_dict(columns(), features=features())
    made_set.to_parquet(folder / "parquet" / "train-00000-of-00001.parquet")
    return folder / "parquet"


def plain_parquet(folder):
    """Bytes in a binary column, without the package's own description of the columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "plain").mkdir()
    table = columns() | {"image": [made.jpeg(i) for i in ORDER]}
    pq.write_table(pa.table(table), folder / "plain" / "train.parquet")
    return folder / "plain"


def json_lines(folder):
    """Paths of images beside the table."""
    place = folder / "json"
    place.mkdir()
    for i in range(COUNT):
        (place / f"{i}.jpg").write_bytes(made.jpeg(i))
    table = columns() | {"image": [f"{i}.jpg" for i in ORDER]}
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    (place / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return place


@pytest.mark.parametrize("form", [saved, parquet, plain_parquet, json_lines])
@pytest.mark.parametrize("key", [None, "name"])
def test_rows_of_one_image_are_one_sample(form, key, tmp_path):
    source = opened(form(tmp_path), key_column=key)
    assert source.counts == {"all": COUNT}
    found = samples_of(source)
    assert {sample.captions for sample in found} == RIGHT
    for sample in found:
        number = int(sample.captions[0].split()[-1])
        assert source.read(sample.image) == made.jpeg(number)
        if source.classes:  # Described by the package.
            assert sample.label == number % 2
        if key:
            assert sample.key == f"train/n{number}"
    preview, _ = source.preview(3)
    assert [s.captions for s in preview] == [s.captions for s in found[:3]]
    # Blocks in any order, as after an interruption.
    assert [s.key for s in source.samples("all", 2, 4)] == [s.key for s in found[2:]]
    assert [s.key for s in source.samples("all", 0, 2)] == [s.key for s in found[:2]]


def test_a_prepared_directory_has_all_captions(tmp_path):
    options = sources.Options(validation_fraction=0)
    lines = []
    made_set = prepare(
        f"hf:{parquet(tmp_path)}", tmp_path / "out", options=options, log=lines.append
    )
    assert (made_set.records("train"), made_set.captions_per_image) == (COUNT, 2)
    assert any("rows with the same bytes are one image" in line for line in lines)


def test_each_row_is_a_sample_where_that_is_asked_for(tmp_path):
    assert opened(parquet(tmp_path), key_column="none").counts == {"all": len(ORDER)}


def test_two_labels_of_one_image_are_an_error_that_names_the_rows(tmp_path):
    table = columns() | {"kind": [0] * COUNT + [1] * COUNT}
    made_set = datasets.Dataset.from_dict(table, features=features())
    made_set.save_to_disk(tmp_path / "saved")
    with pytest.raises(InputError, match=r"label: .* received 0 in .*:1 and 1 in .*:4"):
        _ = opened(tmp_path / "saved").counts
    assert opened(tmp_path / "saved", label_column="none").counts == {"all": COUNT}


def test_a_folder_of_images_with_a_table(tmp_path):
    for split, numbers in (("train", range(3)), ("test", range(3, 4))):
        (tmp_path / split).mkdir()
        lines = ["file_name,text"]
        for i in numbers:
            (tmp_path / split / f"{i}.jpg").write_bytes(made.jpeg(i))
            lines += [f"{i}.jpg,caption of {i}"]
        (tmp_path / split / "metadata.csv").write_text("\n".join(lines))
    source = opened(tmp_path)
    assert (source.counts, source.rejected) == ({"all": 3}, {"split_test": 1})
    for sample in samples_of(source):
        number = int(sample.captions[0].split()[-1])
        assert source.read(sample.image) == made.jpeg(number)


def test_restval_trains_beside_train(tmp_path):
    names = {"train": [0], "restval": [1], "validation": [2], "test": [3], "extra": [0]}
    parts = {
        name: datasets.Dataset.from_dict(columns(order), features=features())
        for name, order in names.items()
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    source = opened(tmp_path / "saved")
    assert source.counts == {"train": 2, "val": 1}
    assert source.rejected == {"split_test": 1, "split_extra": 1}
    assert {s.key for s in source.samples("train", 0, 2)} == {"train/0000000", "restval/0000000"}
    assert [s.key for s in source.samples("train", 1, 2)] == ["restval/0000000"]
    assert "split 'extra' is left out" in source.understanding()


@pytest.mark.parametrize("key", [None, "none"])
def test_a_split_column_of_the_only_split(tmp_path, key):
    order = [0, 1, 2, 3]
    table = columns(order) | {"split": ["train", "test", "train", "val"]}
    made_set = datasets.Dataset.from_dict(table, features=features(split=datasets.Value("string")))
    datasets.DatasetDict({"test": made_set}).save_to_disk(tmp_path / "saved")
    source = opened(tmp_path / "saved", key_column=key)
    assert (source.counts, source.rejected) == ({"train": 2, "val": 1}, {"split_test": 1})
    assert [s.captions[0] for s in source.samples("train", 0, 2)] == [
        "caption of 0",
        "caption of 2",
    ]
    whole = opened(tmp_path / "saved", key_column=key, split_column="none")
    assert whole.counts == {"all": 4}


@pytest.mark.parametrize("index", [0, -1])
def test_an_image_of_a_list(tmp_path, index):
    cells = [[{"bytes": made.jpeg(i + k), "path": None} for k in (0, 9)] for i in range(COUNT)]
    kinds = {"images": datasets.Sequence(datasets.Image()), "text": datasets.Value("string")}
    rows = {"images": cells, "text": [f"caption {i}" for i in range(COUNT)]}
    made_set = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    made_set.save_to_disk(tmp_path / "saved")
    source = opened(tmp_path / "saved", own={"image_index": index})
    for i, sample in enumerate(samples_of(source)):
        assert source.read(sample.image) == made.jpeg(i if index == 0 else i + 9)


@pytest.mark.parametrize("missing", [None, "", " "])
def test_rows_without_a_key_are_known_by_their_bytes(tmp_path, missing):
    rows = columns()
    rows["name"] = [missing if i < 2 else name for i, name in zip(ORDER, rows["name"], strict=True)]
    made_set = datasets.Dataset.from_dict(rows, features=features())
    made_set.to_parquet(tmp_path / "train.parquet")
    found = samples_of(opened(tmp_path, key_column="name"))
    assert {tuple(sample.captions) for sample in found} == RIGHT
