"""The schema of a record and of `dataset.json`, and what a damaged data directory says."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf
from helpers.data_directory import CLASSES, COUNT, SIZE, assert_equal, take, write_directory
from hypothesis import given, settings
from hypothesis import strategies as st

from xsample_tf import data
from xsample_tf.data import manifest, records
from xsample_tf.data.shards import Shard
from xsample_tf.errors import InputError

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=30, deadline=None)
@given(st.binary(), _TEXT, st.lists(_TEXT, max_size=4), st.none() | st.integers(0, 1 << 40))
def test_a_record_reads_back(image, key, captions, label):
    parsed = records.parse(tf.constant(records.serialize(image, key, captions, label)))
    assert parsed["image"].numpy() == image
    assert parsed["key"].numpy() == key.encode()
    assert parsed["captions"].numpy().tolist() == [caption.encode() for caption in captions]
    assert parsed["label"].numpy() == (-1 if label is None else label)


def test_a_batch_of_records_reads_back_in_graph_mode():
    stored = [records.serialize(b"1", "a", ["x", "y"], 3), records.serialize(b"2", "b")]
    batch = next(iter(tf.data.Dataset.from_tensor_slices(stored).batch(2).map(records.parse)))
    assert batch["captions"].to_list() == [[b"x", b"y"], []]
    assert batch["label"].numpy().tolist() == [3, -1]
    assert batch["label"].dtype == tf.int64


@pytest.fixture
def dataset(tmp_path) -> manifest.Dataset:
    content = b"0123456789"
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "00000.tfrecord").write_bytes(content)
    shard = Shard("train/00000.tfrecord", 2, len(content), hashlib.sha256(content).hexdigest())
    encoder = manifest.CaptionVectors("lexical", "lexical", 3, "a photo of a {}", (0.25, 0.0, -1.0))
    made = manifest.Dataset(
        str(tmp_path), {"train": (shard,)}, ("é", "b"), 1, {"lexical": encoder}, {"x": 2}, "table:a"
    )
    manifest.write_dataset(made)
    return made


def test_a_manifest_reads_back(dataset):
    assert manifest.read_dataset(dataset.directory) == dataset
    assert dataset.records("train") == 2
    assert dataset.encoder(None) == dataset.encoder("lexical")


def test_class_vectors_are_checked_against_the_manifest(dataset, tmp_path):
    folder = tmp_path / "embeddings" / "lexical"
    with pytest.raises(InputError, match=r"cannot read .*classes\.npy"):
        dataset.class_embeddings("lexical")
    folder.mkdir(parents=True)
    table = np.eye(2, 3, dtype=np.float32)
    np.save(folder / "classes.npy", table)
    np.testing.assert_array_equal(dataset.class_embeddings("lexical"), table)
    np.save(folder / "classes.npy", table[:1])
    with pytest.raises(InputError, match=r"expected \(2, 3\), received \(1, 3\)"):
        dataset.class_embeddings("lexical")


def test_a_directory_without_a_manifest_says_how_to_prepare_it(tmp_path):
    with pytest.raises(InputError, match=r"no dataset\.json in .*prepare_data\.py --source="):
        manifest.read_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:40],
        lambda text: "[]",
        lambda text: "{}",
        lambda text: text.replace('"splits"', '"spilts"'),
        lambda text: text.replace('"records"', '"rows"'),
        lambda text: text.replace('"format": 1', '"format": 2'),
    ],
)
def test_a_malformed_manifest_is_one_line(dataset, tmp_path, damage):
    path = tmp_path / manifest.MANIFEST
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(InputError, match=r"data directory: .*dataset\.json") as caught:
        manifest.read_dataset(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_shard_that_is_missing_or_cut_short_is_named(dataset, tmp_path):
    shard = tmp_path / "train" / "00000.tfrecord"
    shard.write_bytes(b"012")
    with pytest.raises(InputError, match=r"10 bytes, received 3 at .*00000\.tfrecord"):
        manifest.read_dataset(tmp_path)
    shard.unlink()
    with pytest.raises(InputError, match="10 bytes, received no file"):
        manifest.read_dataset(tmp_path)


def test_vectors_cut_short_are_found_too(dataset, tmp_path):
    gone = Shard("embeddings/lexical/train/00000.tfrecord", 2, 9, "")
    encoder = dataclasses.replace(dataset.encoder(None), shards={"train": (gone,)})
    manifest.write_dataset(dataclasses.replace(dataset, encoders={"lexical": encoder}))
    with pytest.raises(InputError, match="9 bytes, received no file"):
        manifest.read_dataset(tmp_path)


def test_an_unknown_split_or_encoder_is_suggested(dataset):
    with pytest.raises(InputError, match="did you mean 'train'"):
        dataset.records("trian")
    with pytest.raises(InputError, match="did you mean 'lexical'"):
        dataset.encoder("lexicl")
    both = dataclasses.replace(dataset, encoders={"a": None, "b": None})
    with pytest.raises(InputError, match="name one of a, b"):
        both.encoder(None)
    with pytest.raises(InputError, match="--embeddings_only"):
        dataclasses.replace(dataset, encoders={}).encoder(None)


def test_the_manifest_is_plain_json(dataset, tmp_path):
    content = json.loads((tmp_path / manifest.MANIFEST).read_text(encoding="utf-8"))
    assert content["class_names"] == ["é", "b"]
    assert "directory" not in content


def test_a_directory_on_another_file_system_reads_like_a_local_one(tmp_path):
    """`ram://` goes the way of `gs://`: through TensorFlow's file systems, not Python's."""
    local, remote = write_directory(tmp_path / "data"), "ram://bucket/data"
    table = np.eye(CLASSES, SIZE, dtype=np.float32)
    np.save(tmp_path / "data/embeddings/e/classes.npy", table)
    for path in sorted((tmp_path / "data").rglob("*.*")):
        target = f"{remote}/{path.relative_to(tmp_path / 'data')}"
        tf.io.gfile.makedirs(target.rpartition("/")[0])
        tf.io.gfile.copy(path, target)
    assert_equal(take(remote, 6), take(local, 6))
    np.testing.assert_array_equal(manifest.read_dataset(remote).class_embeddings(), table)
    images = data.load_images(remote, "train", COUNT, 8, "e")
    assert next(images.as_numpy_iterator())["embedding"].shape == (COUNT, SIZE)
    tf.io.gfile.remove(f"{remote}/train/00001.tfrecord")
    with pytest.raises(InputError, match="received no file at ram://bucket/data/train/00001"):
        manifest.read_dataset(remote)
    with pytest.raises(InputError, match=r"no dataset.json in ram://bucket/other"):
        manifest.read_dataset("ram://bucket/other")


@pytest.mark.parametrize(
    "write",
    [
        lambda place: data.prepare("scenes:count=2", place),
        lambda place: data.add_embeddings(place, []),
        data.check,
    ],
)
def test_a_directory_that_is_written_must_be_local(write):
    with pytest.raises(InputError, match="expected a local folder, received gs://bucket/data"):
        write("gs://bucket/data")
