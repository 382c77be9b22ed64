"""Rotten records keep their places; whatever cannot be used is said in one line."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from helpers.data_directory import (
    CLASSES,
    SIZE,
    assert_equal,
    caption_vectors,
    image_numbers,
    serialized_record,
    show,
    take,
    write_directory,
)

from xsample_tf import data
from xsample_tf.data import image_files, manifest, records
from xsample_tf.errors import InputError


def _labelled(i: int, label: int | None) -> bytes:
    return records.serialize(
        image_files.encode_png(np.zeros([9, 9, 3], np.uint8)), f"k{i}", (), label
    )


ROTTEN_RECORDS = {
    3: records.serialize(b"<html>", "not an image", (), 0),
    4: records.serialize(image_files.encode_png(np.zeros([9, 9, 3], np.uint8))[:60], "cut", (), 0),
    17: serialized_record(17)[:60],
    19: b"\xff" * 40,
    20: b"",
    30: _labelled(30, CLASSES),
    31: _labelled(31, None),
}
ROTTEN_VECTORS = {
    7: np.full((2, SIZE), np.nan, np.float16),
    8: np.full((1, SIZE), np.inf, np.float16),
    44: b"12345",
}


def test_rotten_records_keep_their_places(directory, tmp_path):
    damaged = write_directory(
        tmp_path,
        record=lambda i: ROTTEN_RECORDS.get(i, serialized_record(i)),
        vector=lambda i: ROTTEN_VECTORS.get(i, caption_vectors(i)),
    )
    rotten = [*ROTTEN_RECORDS, *ROTTEN_VECTORS]
    expected, received = take(directory, 8), take(damaged, 8)
    places = np.isin(image_numbers(expected), rotten)
    np.testing.assert_array_equal([side["substituted"] for _, side in received], places)
    substitutes = image_numbers(received)[places]
    assert not set(substitutes) & set(rotten)
    assert len(set(substitutes)) > 5
    for sound, mended, replaced in zip(expected, received, places, strict=True):
        np.testing.assert_array_equal(sound[0][~replaced], mended[0][~replaced])
        for name in ("label", "embedding"):
            np.testing.assert_array_equal(sound[1][name][~replaced], mended[1][name][~replaced])
    assert_equal(take(damaged, 5, start_step=3), received[3:])


def test_substitutes_carry_their_own_side(tmp_path):
    directory = write_directory(
        tmp_path, record=lambda i: b"rotten" if i % 2 else serialized_record(i)
    )
    batches = take(directory, 4)
    assert 0.3 < np.mean([side["substituted"] for _, side in batches]) < 0.7
    for (_, side), row in zip(batches, image_numbers(batches), strict=True):
        assert not np.any(row % 2)
        np.testing.assert_array_equal(side["label"], row % CLASSES)


def _stream_error(stream) -> str:
    with pytest.raises(tf.errors.OpError) as error:
        list(stream.take(20))
    explained = data.as_input_error(error.value)
    assert isinstance(explained, InputError)
    assert "\n" not in str(explained)
    return str(explained)


def test_nothing_but_rotten_records_is_said_in_one_line(tmp_path):
    directory = write_directory(tmp_path, record=lambda i: b"rotten")
    message = _stream_error(data.load(directory, "train", 10, show))
    assert "expected usable records" in message
    assert directory in message


@pytest.mark.parametrize(
    "damage", ["cut at a record", "cut within a record", "flipped bit", "gone"]
)
@pytest.mark.parametrize("reader", ["load", "load_images"])
def test_a_shard_damaged_while_it_is_in_use_is_named(tmp_path, damage, reader):
    directory = write_directory(tmp_path, encoders=())
    if reader == "load":
        stream = data.load(directory, "train", 10, show)
    else:
        stream = data.load_images(directory, "train", 10, 8)
    path = tmp_path / "train" / "00001.tfrecord"
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "flipped bit":
        path.write_bytes(content[:700] + bytes([content[700] ^ 255]) + content[701:])
    else:
        length = len(content) // 10
        path.write_bytes(content[: 5 * length if damage == "cut at a record" else 5 * length + 9])
    message = _stream_error(stream)
    assert str(path) in message
    assert "restore" in message


def _cut(directory: str, path: str) -> str:
    file = pathlib.Path(directory, path)
    file.write_bytes(file.read_bytes()[:-1])
    return directory


def _unlinked(directory: str, path: str) -> str:
    pathlib.Path(directory, path).unlink()
    return directory


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (write_directory, {"batch_size": 46}, "expected 1 to 45.*received 46"),
        (write_directory, {"batch_size": 0}, "batch_size"),
        (write_directory, {"split": "test"}, "split.*'test'"),
        (write_directory, {"captions": "first"}, "captions.*'first'"),
        (write_directory, {"start_step": -1}, "start_step"),
        (write_directory, {"shuffle_window": 0}, "shuffle_window"),
        (write_directory, {"seed": 2**63}, "seed"),
        (write_directory, {"embedding": "f"}, "embedding.*'f'"),
        (lambda path: write_directory(path, encoders=("one", "two")), {}, "name one of one, two"),
        (lambda path: write_directory(path, encoders=()), {"embedding": "e"}, "no caption vectors"),
        (lambda path: write_directory(path, lengths=()), {}, "received none"),
        (lambda path: path / "nowhere", {}, "prepare it with"),
        (lambda path: [], {}, "received none"),
        (
            lambda path: _cut(write_directory(path), "train/00001.tfrecord"),
            {},
            "train/00001.tfrecord",
        ),
        (
            lambda path: _cut(write_directory(path), "embeddings/e/train/00002.tfrecord"),
            {},
            "e/train/00002",
        ),
        (
            lambda path: _unlinked(write_directory(path), "train/00000.tfrecord"),
            {},
            "received no file",
        ),
    ],
)
def test_what_cannot_be_opened_is_said_in_one_line(tmp_path, make, arguments, message):
    directory = make(tmp_path)
    arguments = {"split": "train", "batch_size": 10, "views": show} | arguments
    with pytest.raises(InputError, match=message) as error:
        data.load(directory, **arguments)
    assert "\n" not in str(error.value)


def test_vectors_that_do_not_line_up_are_refused(tmp_path):
    directory = write_directory(tmp_path)
    dataset = data.read_dataset(directory)
    encoder = dataset.encoders["e"]
    for shards_ in ({}, {"train": encoder.shards["train"][:2]}):
        partial = {"e": dataclasses.replace(encoder, shards=shards_)}
        manifest.write_dataset(dataclasses.replace(dataset, encoders=partial))
        with pytest.raises(InputError, match="embeddings_only"):
            data.load(directory, "train", 10, show)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(directory, limit):
    with pytest.raises(InputError, match="limit"):
        data.side_information(directory, "train", limit=limit)
    with pytest.raises(InputError, match="limit"):
        data.load_images(directory, "train", 10, 8, limit=limit)
