"""Folders of classes and splits as people lay them out."""

import os
import shutil

import pytest
from helpers.preparing import write_png

from xsample_tf.data import sources
from xsample_tf.errors import InputError


def opened(folder, **options):
    return sources.open_source(f"folder:{folder}", sources.Options(**options))


def put(folder, *names):
    for number, name in enumerate(names):
        if name.endswith(".png"):
            write_png(folder / name, number)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("a text")


def labels(source) -> dict[str, int]:
    return {
        sample.key: sample.label
        for split, count in source.counts.items()
        for sample in source.samples(split, 0, count)
    }


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        ("train2014", "val2014"),
        ("training_set", "valid_set"),
        ("Train", "Validation1"),
        ("images_train", "images_val"),
    ],
)
def test_splits_under_longer_names(tmp_path, train, held_out):
    put(tmp_path, *[f"{s}/{c}/0.png" for s in (train, held_out) for c in ("cat", "dog")])
    source = opened(tmp_path)
    assert source.classes.names == ("cat", "dog")
    assert source.counts == {"train": 2, "val": 2}


def test_several_folders_of_a_split_are_one(tmp_path):
    put(tmp_path, *[f"{s}/{c}/0.png" for s in ("train1", "train2", "test1") for c in ("a", "b")])
    source = opened(tmp_path)
    assert (source.counts, source.rejected) == ({"all": 4}, {"split_test": 2})
    line = f"all: {tmp_path}/train1, {tmp_path}/train2"
    assert line in source.understanding()


def test_splits_inside_of_classes(tmp_path):
    put(tmp_path, *[f"{c}/{s}/0.png" for s in ("train", "val", "test") for c in ("cat", "dog")])
    source = opened(tmp_path)
    assert (source.counts, source.rejected) == ({"train": 2, "val": 2}, {"split_test": 2})
    assert labels(source) == {
        "cat/train/0.png": 0,
        "dog/train/0.png": 1,
        "cat/val/0.png": 0,
        "dog/val/0.png": 1,
    }
    put(tmp_path, "cat/1.png")
    with pytest.raises(InputError, match="received images in .*cat itself; move them"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("data/train/cat/0.png", "data/test/cat/0.png"), "give folder:.*/data"),
        (("train/images/0.png", "train/labels/0.txt"), "received images, labels; "),
        (("JPEGImages/0.png", "Annotations/0.xml"), "received Annotations, JPEGImages; "),
        (("train/0.png", "train/metadata.csv", "test/0.png"), "table:.*train/metadata.csv reads"),
        (("cat/0.png", "cat/0.txt", "dog/0.png"), "1 images have texts beside them.*pairs:"),
        (("cat/0.png", "cat/0.png.txt", "dog/0.png"), "1 images have texts beside them.*pairs:"),
    ],
)
def test_another_layout_is_an_error_that_says_what_reads_it(tmp_path, names, message):
    put(tmp_path, *names)
    with pytest.raises(InputError, match=message):
        opened(tmp_path)


def test_texts_beside_images_are_left_out_where_that_is_asked_for(tmp_path):
    put(tmp_path, "cat/0.png", "cat/0.txt", "dog/0.png", "dog/notes.txt")
    source = opened(tmp_path, caption_columns=("none",))
    assert (source.counts, source.rejected) == ({"all": 2}, {"text_file": 2})
    assert source.examples["text_file"].endswith("cat/0.txt")
    (tmp_path / "cat" / "0.txt").unlink()
    assert opened(tmp_path).rejected == {"text_file": 1}


def test_what_macos_adds_never_counts(tmp_path):
    put(tmp_path, "cat/0.png", "cat/._0.png", "__MACOSX/cat/0.png", "dog/__MACOSX/0.png")
    put(tmp_path, "dog/0.png")
    source = opened(tmp_path)
    assert source.classes.names == ("cat", "dog")
    assert labels(source) == {"cat/0.png": 0, "dog/0.png": 1}


def test_a_link_back_to_the_classes_gives_no_image_another_class(tmp_path):
    put(tmp_path / "real", "cat/0.png", "dog/0.png")
    (tmp_path / "data").mkdir()
    for name in ("cat", "dog"):
        os.symlink(tmp_path / "real" / name, tmp_path / "data" / name)
    os.symlink(tmp_path / "data", tmp_path / "real" / "cat" / "back")
    assert labels(opened(tmp_path / "data")) == {"cat/0.png": 0, "dog/0.png": 1}


def test_a_class_without_an_image_is_said(tmp_path):
    put(tmp_path, "cat/0.png", "dog/0.png")
    shutil.rmtree(tmp_path / "dog")
    (tmp_path / "dog").mkdir()
    source = opened(tmp_path)
    assert source.classes.names == ("cat", "dog")
    assert "classes without an image: dog" in source.understanding()
