"""Subsets: which images they hold, that they are nested, and that the stream keeps its contract."""

import gzip
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from helpers.data_directory import (
    CLASSES,
    COUNT,
    assert_equal,
    caption_vectors,
    image_numbers,
    serialized_record,
    show,
    take,
    write_directory,
)

from xsample_tf import data
from xsample_tf.data import Subset, records
from xsample_tf.errors import InputError


def images(directory, subset):
    """The numbers of the images that an epoch visits, in one batch."""
    count = data.steps_per_epoch(directory, "train", 1, subset)
    return sorted(image_numbers(take(directory, 1, count, subset=subset)).ravel())


def write_list(tmp_path, lines):
    path = tmp_path / "list.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_fractions_are_nested_and_of_their_size(directory):
    shares = (0.1, 0.3, 0.9)
    found = [set(images(directory, Subset(share))) for share in shares]
    for share, smaller, larger in zip(shares, found, [*found[1:], set(range(45))], strict=True):
        assert smaller < larger
        assert abs(len(smaller) - share * COUNT) <= 3  # Of three shards.
    assert found[1] != set(images(directory, Subset(0.3, seed=1)))


def test_images_per_class_are_nested_and_the_seed_s(directory):
    found = {n: set(images(directory, Subset(per_class=n))) for n in (2, 4, 20)}
    assert found[2] < found[4] < found[20] == set(range(COUNT))
    for n in (2, 4):
        labels = [number % CLASSES for number in found[n]]
        assert np.bincount(labels).tolist() == [n] * CLASSES
    assert set(images(directory, Subset(per_class=2, seed=1))) != found[2]


@pytest.mark.parametrize("packed", [False, True])
def test_a_list_holds_what_it_says(directory, tmp_path, packed):
    # Whole keys, and as ImageNet-LT has them: with a folder, an ending and the class behind.
    lines = ["# A comment.", "key3", "key17\t9", "train/n01/key44.JPEG 3", "key17", "", "key21.jpg"]
    path = write_list(tmp_path, lines)
    if packed:  # As Windows has them, with a mark before the first line.
        path += ".gz"
        pathlib.Path(path).write_bytes(gzip.compress("\r\n".join(lines).encode("utf-8-sig")))
    assert images(directory, Subset(key_list=path)) == [3, 17, 21, 44]


def test_several_directories_are_one_set(directory, tmp_path):
    other = write_directory(tmp_path / "other", lengths=(30,), first=100)
    path = write_list(tmp_path, ["key3", "key100", "key129"])
    assert images([directory, other], Subset(key_list=path)) == [3, 100, 129]
    found = images([directory, other], Subset(per_class=3))
    assert np.bincount([n % CLASSES for n in found]).tolist() == [3] * CLASSES


@pytest.mark.parametrize(
    "subset",
    [
        Subset(0.5, seed=3),
        # A subset is a list of records, however it was chosen: 7 s.
        pytest.param(Subset(per_class=5, seed=3), marks=pytest.mark.slow),
    ],
    ids=["fraction", "per_class"],
)
def test_the_stream_of_a_subset_keeps_its_contract(directory, subset):
    settings = {"batch_size": 6, "subset": subset, "seed": 5, "shuffle_window": 12}
    whole = take(directory, 6, **settings)
    for shown, side in whole:
        for number, vector in zip(
            image_numbers([(shown, side)])[0], side["embedding"], strict=True
        ):
            rows = caption_vectors(number).astype(np.float32)
            near = (rows @ vector > 0.99).any() if len(rows) else not vector.any()
            assert near, number  # Its own vectors, wherever they lie.
    assert_equal(take(directory, 2, start_step=4, **settings), whole[4:])
    halves = [take(directory, 4, share=(part, 2), **settings) for part in (0, 1)]
    for step, (views, side) in enumerate(whole[:4]):
        joined = np.concatenate([half[step][0] for half in halves])
        np.testing.assert_array_equal(joined, views)
        keys = np.concatenate([half[step][1]["key_hash"] for half in halves])
        np.testing.assert_array_equal(keys, side["key_hash"])
    steps = data.steps_per_epoch(directory, "train", 6, subset)
    first = image_numbers(whole[:steps]).ravel()
    assert len(set(first)) == len(first) and set(first) <= set(images(directory, subset))
    found = data.side_information(directory, "train", limit=6, seed=5, subset=subset)
    first = take(directory, 1, batch_size=6, subset=subset, seed=5)[0][1]
    np.testing.assert_array_equal(found["key_hash"], first["key_hash"])


def test_the_pass_over_the_records_is_made_once_and_kept(tmp_path):
    directory = write_directory(tmp_path / "data")
    lines = []
    labels = data.read_labels(directory, "train", log=lines.append)
    np.testing.assert_array_equal(labels, np.arange(COUNT) % CLASSES)
    assert lines == [f"reading the keys and labels of the 45 images of train in {directory}"]
    moved = shutil.move(directory, tmp_path / "moved")  # Another path: it is read from the disk.
    again = data.read_labels(moved, "train", Subset(per_class=1), log=lines.append)
    assert sorted(again) == list(range(CLASSES)) and len(lines) == 1
    assert len(list((tmp_path / "moved" / "index").iterdir())) == 1


def test_labels_of_a_fraction_are_those_of_its_images(directory):
    subset = Subset(0.4, seed=2)
    labels = data.read_labels(directory, "train", subset)
    assert sorted(labels) == sorted(n % CLASSES for n in images(directory, subset))


def test_an_image_that_cannot_be_decoded_is_replaced_from_the_subset(tmp_path):
    def record(i):
        return records.serialize(b"rotten", "key7", [], 2) if i == 7 else serialized_record(i)

    directory = write_directory(tmp_path, record=record)
    path = write_list(tmp_path, ["key7", "key8", "key9"])
    batch = take(directory, 1, 3, subset=Subset(key_list=path))
    assert batch[0][1]["substituted"].sum() == 1
    assert set(image_numbers(batch)[0]) <= {8, 9}


def test_a_file_that_is_cut_short_meanwhile_is_named(tmp_path):
    directory = write_directory(tmp_path)
    stream = data.load(directory, "train", 5, show, subset=Subset(per_class=9))
    path = tmp_path / "train" / "00001.tfrecord"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(tf.errors.OpError) as caught:
        list(stream.take(9))
    message = str(data.as_input_error(caught.value))
    assert message.startswith("data directory: cannot read") and str(path) in message


def test_what_cannot_be_is_said_in_a_line(directory, tmp_path):
    missing = write_list(tmp_path, ["key3", *(f"none{i}" for i in range(5))])
    for make, words in (
        (lambda: Subset(0.0), "train_fraction: expected a share above 0"),
        (lambda: Subset(0.5, per_class=1), "expected one of train_fraction, per_class"),
        (lambda: Subset(per_class=-1), "per_class"),
        (
            lambda: images(directory, Subset(key_list=missing)),
            r"train_list: train in .* has no image for 5 of the lines .*: none0, none1, none2, ",
        ),
        (lambda: images(directory, Subset(key_list=str(tmp_path / "no"))), "train_list: cannot"),
        (lambda: images(directory, Subset(1e-4)), "train_fraction: .* with an image in it"),
        (
            lambda: take(directory, 1, 6, subset=Subset(per_class=1)),
            "batch_size: expected 1 to 5, the images of the subset of train",
        ),
    ):
        with pytest.raises(InputError, match=words):
            make()


def test_names_of_several_images_are_refused(tmp_path):
    def record(i):
        pixels = tf.io.encode_png(np.full((9, 12, 3), (i, 0, 0), np.uint8)).numpy()
        return records.serialize(pixels, f"class{i}/0001.png", [], i % CLASSES)

    directory = write_directory(tmp_path, lengths=(10,), record=record)
    with pytest.raises(InputError, match="has several images for 1 of the lines .*0001.png"):
        images(directory, Subset(key_list=write_list(tmp_path, ["0001.png"])))
    path = write_list(tmp_path, ["class4/0001.png"])
    assert images(directory, Subset(key_list=path)) == [4]


def test_without_labels_there_are_no_images_per_class(tmp_path):
    directory = write_directory(tmp_path, class_names=None)
    with pytest.raises(InputError, match="per_class: expected labels"):
        images(directory, Subset(per_class=1))


def test_an_index_that_was_cut_is_made_again(tmp_path):
    directory = write_directory(tmp_path / "whole")
    whole = images(directory, Subset(per_class=2))
    copy = shutil.copytree(directory, tmp_path / "copy")
    (index,) = (copy / "index").glob("*.npz")
    index.write_bytes(index.read_bytes()[:-20])
    assert images(str(copy), Subset(per_class=2)) == whole
