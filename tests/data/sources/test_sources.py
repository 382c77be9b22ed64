"""Each kind of source lists its samples, and says in one line what is wrong with it."""

import csv
import io
import json
import shutil
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from xsample_tf.data import image_files, sources
from xsample_tf.errors import InputError


def png(shade: int = 0) -> bytes:
    return image_files.encode_png(np.full((8, 8, 3), shade, np.uint8))


def opened(spec: str, **options) -> sources.Source:
    return sources.open_source(spec, sources.Options(**options))


def listed(source: sources.Source, split: str = "all") -> dict[str, sources.Sample]:
    samples = list(source.samples(split, 0, source.counts[split]))
    assert len(samples) == source.counts[split]
    return {sample.key: sample for sample in samples}


def write_csv(path, *rows, delimiter=",") -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def write_images(folder, *names) -> None:
    for shade, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(shade))


# --- tables ---------------------------------------------------------------------------------


def test_rows_with_the_same_path_are_one_sample(tmp_path):
    rows = [("a.png", "one"), ("b.png", "two"), ("./a.png", "three, quoted")]
    write_csv(tmp_path / "t.csv", ("image", "caption"), *rows)
    write_images(tmp_path, "a.png", "b.png")
    source = opened(f"table:{tmp_path}/t.csv")
    samples = listed(source)
    assert samples["a.png"].captions == ("one", "three, quoted")
    assert samples["b.png"].captions == ("two",)
    assert source.read(samples["b.png"].image) == png(1)
    assert source.captioned
    assert source.classes is None


def test_columns_and_the_image_root_are_chosen_by_flags(tmp_path):
    write_csv(tmp_path / "t.tsv", ("file", "de", "en"), ("a.png", "eins", "one"), delimiter="\t")
    write_images(tmp_path / "elsewhere", "a.png")
    source = opened(
        f"table:{tmp_path}/t.tsv",
        image_column="file",
        caption_columns=("en", "de"),
        image_root=str(tmp_path / "elsewhere"),
    )
    assert listed(source)["a.png"].captions == ("one", "eins")
    assert source.read(listed(source)["a.png"].image) == png(0)


def test_a_stray_quote_in_tsv_swallows_no_rows(tmp_path):
    lines = 'image\tcaption\na.png\t"to be\nb.png\t"a ""quoted"" cell"\n'
    (tmp_path / "t.tsv").write_text(lines)
    samples = listed(opened(f"table:{tmp_path}/t.tsv"))
    assert samples["a.png"].captions == ('"to be',)
    assert samples["b.png"].captions == ('a "quoted" cell',)


def test_jsonl_takes_lists_of_captions_and_skips_what_is_no_object(tmp_path):
    rows = [{"image": "a.png", "caption": ["one", "two"], "label": "cat"}, {"image": "b.png"}]
    text = "\n".join(map(json.dumps, rows)) + '\n{"image": "c.p\n[1]\n'
    (tmp_path / "t.jsonl").write_text(text, encoding="utf-8")
    source = opened(f"table:{tmp_path}/t.jsonl")
    samples = listed(source)
    assert samples["a.png"].captions == ("one", "two")
    assert samples["b.png"].captions == ()
    assert source.rejected == {"malformed_row": 2}
    assert source.classes.names == ("cat",)


def test_parquet_of_hugging_face_has_bytes_and_class_names(tmp_path):
    cells = [{"bytes": png(i), "path": "same.png"} for i in range(7)]
    cells[3] = {"bytes": None, "path": "apart.png"}
    table = pa.table({"image": cells, "caption": [["x", "y"]] * 7, "label": [0, 1] * 3 + [5]})
    feature = {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    metadata = {"huggingface": json.dumps({"info": {"features": feature}})}
    pq.write_table(
        table.replace_schema_metadata(metadata), tmp_path / "t.parquet", row_group_size=2
    )
    write_images(tmp_path, "apart.png")
    source = opened(f"table:{tmp_path}/*.parquet")
    samples = listed(source)
    assert len(samples) == 7  # Not one, though the paths are equal.
    assert source.classes.names == ("cat", "dog")
    assert [samples[f"t.parquet/{i:07d}"].label for i in range(7)] == [0, 1, 0, 1, 0, 1, 5]
    for i in (0, 1, 2, 4, 5, 6):
        assert source.read(samples[f"t.parquet/{i:07d}"].image) == png(i)
    assert source.read(samples["t.parquet/0000003"].image) == png(0)


def test_parquet_of_plain_bytes_and_of_paths(tmp_path):
    pq.write_table(pa.table({"image": [png(1), None]}), tmp_path / "bytes.parquet")
    source = opened(f"table:{tmp_path}/bytes.parquet")
    contents = {key: source.read(s.image) for key, s in listed(source).items()}
    assert contents == {"bytes.parquet/0000000": png(1), "bytes.parquet/0000001": b""}
    pq.write_table(pa.table({"image": ["a.png"], "text": ["one"]}), tmp_path / "paths.parquet")
    assert listed(opened(f"table:{tmp_path}/paths.parquet"))["a.png"].captions == ("one",)


def test_a_key_that_names_two_images_is_counted(tmp_path):
    rows = [("a.png", "k", "one"), ("b.png", "k", "two"), ("a.png", "k", "three")]
    write_csv(tmp_path / "t.csv", ("image", "id", "caption"), *rows)
    source = opened(f"table:{tmp_path}/t.csv", key_column="id")
    assert listed(source)["k"].captions == ("one", "three")
    assert source.rejected == {"duplicate_key": 1}


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        (["dog", "cat", "dog"], ("cat", "dog"), [1, 0, 1]),
        (["3", "0", ""], None, [3, 0, None]),
        (["1.0", "0", "2"], None, [1, 0, 2]),
    ],
)
def test_labels_are_numbers_or_names(tmp_path, labels, names, expected):
    rows = [(f"{i}.png", label) for i, label in enumerate(labels)]
    write_csv(tmp_path / "t.csv", ("image", "label"), *rows)
    source = opened(f"table:{tmp_path}/t.csv")
    assert (source.classes and source.classes.names) == names
    assert [listed(source)[f"{i}.png"].label for i in range(3)] == expected


def test_a_class_list_orders_and_renames_the_classes(tmp_path):
    rows = [("0.png", "n02"), ("1.png", "n01"), ("2.png", "n99")]
    write_csv(tmp_path / "t.csv", ("image", "label"), *rows)
    source = opened(f"table:{tmp_path}/t.csv", class_names=("n02\ttench", "n01\tgreat shark"))
    assert source.classes.names == ("tench", "great shark")
    samples = listed(source)
    assert [samples[f"{i}.png"].label for i in range(3)] == [0, 1, sources.UNKNOWN_CLASS]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "t.csv",
            b"image,captoin\na.png,x\n",
            r"caption_column: no column .* did you mean 'captoin'",
        ),
        ("t.csv", b"", "expected a header line and rows in .*t.csv, which is empty"),
        ("t.csv", b"image,caption\n", "no row with an image"),
        ("t.csv", b'image,caption\na.png,"open\n', "no row with an image .*: malformed_row 1"),
        ("t.jsonl", b"[]\n", "array of objects in .*t.jsonl, received none"),
        ("t.jsonl", b"one\n", "expected a JSON object on each line of .*, received 'one'"),
        ("t.parquet", b"PAR1 not", "cannot read .*t.parquet as Parquet"),
        ("t.xlsx", b"", "expected .csv, .tsv"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        _ = opened(f"table:{tmp_path}/{name}", caption_columns=("caption",)).counts
    assert "\n" not in str(caught.value)


def test_a_missing_table_suggests_its_neighbours(tmp_path):
    write_csv(tmp_path / "captions.csv", ("image",))
    with pytest.raises(InputError, match="did you mean .*captions.csv"):
        opened(f"table:{tmp_path}/caption.csv")


def test_rows_of_the_wrong_length_and_bytes_that_are_not_utf8(tmp_path):
    content = b"\xef\xbb\xbfimage,caption\na.png,one, two\nb.png,gr\xfcn\nc\xff.png,x\n\n"
    (tmp_path / "t.csv").write_bytes(content)
    source = opened(f"table:{tmp_path}/t.csv")
    assert source.rejected == {"malformed_row": 1}
    assert listed(source).keys() == {"b.png", r"c\udcff.png"}
    with pytest.raises(UnicodeEncodeError):
        listed(source)["b.png"].captions[0].encode()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_is_a_permutation_that_the_seed_fixes(tmp_path, seed):
    write_csv(tmp_path / "t.csv", ("image",), *[(f"{i:03d}.png",) for i in range(100)])
    first, again = (list(listed(opened(f"table:{tmp_path}/t.csv", seed=seed))) for _ in range(2))
    assert first == again
    assert first != sorted(first)
    assert first != list(listed(opened(f"table:{tmp_path}/t.csv", seed=seed + 1)))


@pytest.mark.parametrize("first", ["caption", "link"])
def test_a_list_of_links_is_answered_with_the_command_that_fetches_it(first, tmp_path):
    cells = ["a cat <PERSON>", "http://localhost/a.jpg"]
    path = tmp_path / "cc.tsv"
    lines = cells if first == "caption" else cells[::-1]
    path.write_text("\t".join(lines) + "\n" + "\t".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        opened(f"table:{path}")
    message = str(caught.value)
    assert "\n" not in message
    header = "caption\\turl" if first == "caption" else "url\\tcaption"
    assert f"(printf '{header}\\n'; cat {path}) > {tmp_path}/cc_links.tsv && img2" in message
    assert f"--url_list={tmp_path}/cc_links.tsv --input_format=tsv --url_col=url" in message
    assert "--caption_col=caption --output_format=webdataset --output_folder=cc " in message
    # The command makes what it names, with a header that is recognised too.
    make = message[message.index("(printf") : message.index(" && img2dataset")]
    subprocess.run(make, shell=True, check=True)
    assert (tmp_path / "cc_links.tsv").read_text().startswith(header.replace("\\t", "\t") + "\n")
    with pytest.raises(InputError, match="img2dataset: img2dataset --url_list=.*cc_links"):
        opened(f"table:{tmp_path}/cc_links.tsv")


def test_links_under_other_names_are_recognised(tmp_path):
    write_csv(tmp_path / "t.csv", ("image", "text"), ("https://localhost/a.jpg", "one"))
    with pytest.raises(InputError, match="--input_format=csv --url_col=image --caption_col=text "):
        opened(f"table:{tmp_path}/t.csv")
    table = pa.table({"URL": ["https://localhost/a.jpg"], "TEXT": ["one"]})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InputError, match="=parquet --url_col=URL --caption_col=TEXT "):
        opened(f"table:{tmp_path}/t.parquet")


# --- class folders --------------------------------------------------------------------------


def test_class_folders_are_sorted_and_read_to_any_depth(tmp_path):
    write_images(tmp_path, "dog/a.png", "cat/x/b.png", "cat/.hidden", "notes.txt")
    source = opened(f"folder:{tmp_path}")
    assert source.classes.names == ("cat", "dog")
    assert {key: s.label for key, s in listed(source).items()} == {"dog/a.png": 1, "cat/x/b.png": 0}


@pytest.mark.parametrize("held_out", ["val", "validation", "valid", "dev", "test"])
def test_train_and_held_out_folders_are_splits(tmp_path, held_out):
    write_images(tmp_path, "train/a/1.png", "train/b/1.png", f"{held_out}/b/1.png")
    write_images(tmp_path, f"{held_out}/new/1.png")
    source = opened(f"folder:{tmp_path}", validation_split="test" if held_out == "test" else None)
    assert {s.label for s in listed(source, "train").values()} == {0, 1}
    found = {key: s.label for key, s in listed(source, "val").items()}
    assert found == {f"{held_out}/b/1.png": 1, f"{held_out}/new/1.png": sources.UNKNOWN_CLASS}


def test_a_class_may_be_called_train(tmp_path):
    write_images(tmp_path, "train/a/1.png", "bus/1.png")
    assert opened(f"folder:{tmp_path}").classes.names == ("bus", "train")


def test_a_folder_without_class_folders_is_an_error(tmp_path):
    write_images(tmp_path, "a.png")
    with pytest.raises(InputError, match="expected class folders"):
        opened(f"folder:{tmp_path}")
    with pytest.raises(InputError, match="no folder"):
        opened(f"folder:{tmp_path}/nowhere")


def test_a_file_that_cannot_be_read_has_a_reason(tmp_path):
    write_images(tmp_path, "a/1.png")
    source = opened(f"folder:{tmp_path}")
    for path, reason in ((tmp_path / "no.png", "missing"), (tmp_path, "unreadable")):
        with pytest.raises(image_files.ImageError, match=f"{reason}_file"):
            source.read(str(path))


# --- generated scenes and specs -------------------------------------------------------------


def test_scenes_have_labels_captions_and_splits():
    source = opened("scenes:count=20,size=32,seed=3", validation_fraction=0.25)
    assert source.counts == {"train": 20, "val": 5}
    samples = listed(source, "train")
    assert all(sample.captions for sample in samples.values())
    later = list(source.samples("train", 12, 20))
    assert np.array_equal(later[0].image, samples[later[0].key].image)
    content = source.read(later[0].image)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), later[0].image)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("folders:x", "did you mean 'folder'"),
        ("photos", "expected KIND:WHERE"),
        ("scenes:cuont=3", "did you mean 'count'"),
        ("scenes:count=many", "expected a number"),
        ("scenes:count=0", "at least 1"),
    ],
)
def test_a_wrong_spec_is_one_line(spec, message):
    with pytest.raises(InputError, match=message):
        opened(spec)


def test_a_class_listed_twice_is_an_error():
    with pytest.raises(InputError, match="'a' stands in the list more than once"):
        sources.Options(class_names=("a", "b", "a")).classes()


# --- TensorFlow Datasets --------------------------------------------------------------------


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory) -> str:
    """A data set in the format of TFDS, prepared by a real builder."""
    tfds = pytest.importorskip("tensorflow_datasets")

    class Captioned(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(
                    {
                        "image": tfds.features.Image(shape=(None, None, 3)),
                        "captions": tfds.features.Sequence({"text": tfds.features.Text()}),
                        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
                    }
                )
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(6), "test": self._generate_examples(2)}

        def _generate_examples(self, count):
            for i in range(count):
                captions = {"text": [f"caption {i}", "another"]}
                yield i, {"image": io.BytesIO(png(i)), "captions": captions, "label": i % 2}

    builder = Captioned(data_dir=tmp_path_factory.mktemp("tfds"))
    builder.download_and_prepare()
    return str(builder.data_path)


def test_tfds_gives_stored_bytes_captions_and_labels(tfds_folder):
    source = opened(f"tfds:{tfds_folder}")
    assert (source.counts, source.rejected) == ({"all": 6}, {"split_test": 2})
    source = opened(f"tfds:{tfds_folder}", validation_split="test")
    assert source.counts == {"train": 6, "val": 2}
    assert source.classes.names == ("cat", "dog")
    samples = list(source.samples("train", 0, 6))
    by_caption = {sample.captions[0]: sample for sample in samples}
    for i in range(6):
        sample = by_caption[f"caption {i}"]
        assert sample.captions[1:] == ("another",)
        assert (source.read(sample.image), sample.label) == (png(i), i % 2)
    part = [sample.key for sample in source.samples("train", 2, 5)]
    assert part == [sample.key for sample in samples[2:5]]


def test_all_splits_of_tfds_that_train_are_used(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")

    class Several(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            image, text = tfds.features.Image(shape=(None, None, 3)), tfds.features.Text()
            features = tfds.features.FeaturesDict({"image": image, "caption": text})
            return self.dataset_info_from_configs(features=features)

        def _split_generators(self, dl_manager):
            counts = {"train": 3, "restval": 4, "val": 2, "test": 1, "test2": 1, "other": 5}
            return {name: self._generate_examples(name, count) for name, count in counts.items()}

        def _generate_examples(self, name, count):
            for i in range(count):
                yield i, {"image": io.BytesIO(png(i)), "caption": f"{name} {i}"}

    builder = Several(data_dir=tmp_path)
    builder.download_and_prepare()
    source = opened(f"tfds:{builder.data_path}")
    assert source.counts == {"train": 7, "val": 2}
    assert source.rejected == {"split_test": 2, "split_other": 5}
    captions = [s.captions[0].split()[0] for s in source.samples("train", 0, 7)]
    assert sorted(captions) == ["restval"] * 4 + ["train"] * 3
    parts = [s.key for k in range(7) for s in source.samples("train", k, k + 1)]
    assert parts == [s.key for s in source.samples("train", 0, 7)]
    files = source.tfrecord_files().files
    assert {use: sum(n for _, n in own) for use, own in files.items()} == source.counts


def test_a_damaged_tfds_file_is_one_line(tfds_folder, tmp_path):
    copy = shutil.copytree(tfds_folder, tmp_path / "captioned" / "1.0.0")
    damaged = next(copy.glob("*train*tfrecord*"))
    damaged.write_bytes(damaged.read_bytes()[:-20])
    source = opened(f"tfds:{copy}")
    with pytest.raises(InputError, match="cannot read .*prepare it again with TFDS"):
        list(source.samples("all", 0, 6))


def test_tfds_features_by_name(tfds_folder):
    with pytest.raises(InputError, match="did you mean 'image'"):
        opened(f"tfds:{tfds_folder}", image_column="imag")
    with pytest.raises(InputError, match="did you mean 'captions/text'"):
        opened(f"tfds:{tfds_folder}", caption_columns=("caption/text",))
    with pytest.raises(InputError, match="no class label 'captions'"):
        opened(f"tfds:{tfds_folder}", label_column="captions")


def test_an_unknown_tfds_name_is_suggested():
    with pytest.raises(InputError, match="did you mean 'cifar100'"):
        opened("tfds:cifar1000")
