"""TFRecord files that img2dataset and TFDS wrote, used where they lie."""

import io
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from helpers import web_archives
from PIL import Image

from xsample_tf import data, text
from xsample_tf.data import records, views
from xsample_tf.errors import InputError

WEB = data.SourceOptions(validation_fraction=0.34)


@pytest.fixture(scope="module")
def web(tmp_path_factory) -> str:
    """Three files of img2dataset, the last one cut in the middle of a fourth record."""
    folder = tmp_path_factory.mktemp("web") / "img2dataset"
    web_archives.write_img2dataset(folder, "tfrecord", shards=3)
    last = folder / "00002.tfrecord"
    content = last.read_bytes()
    last.write_bytes(content + content[:100])
    return str(folder)


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory) -> str:
    """Images of two classes in the format of TFDS, in several files, without keys or captions."""
    tfds = pytest.importorskip("tensorflow_datasets")
    folder = tmp_path_factory.mktemp("tfds") / "pets" / "1.0.0"
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["cat", "guinea_pig"]),
        }
    )
    folder.mkdir(parents=True)
    infos, examples = [], iter(range(100))
    for split, lengths in (("train", [4, 3, 3]), ("test", [2])):
        for shard, length in enumerate(lengths):
            name = f"pets-{split}.tfrecord-{shard:05d}-of-{len(lengths):05d}"
            with tf.io.TFRecordWriter(str(folder / name)) as writer:
                for i in (next(examples) for _ in range(length)):
                    sample = {"image": io.BytesIO(_png(i)), "label": i % 2}
                    writer.write(features.serialize_example(features.encode_example(sample)))
        infos.append(tfds.core.SplitInfo(name=split, shard_lengths=lengths, num_bytes=0))
    tfds.folder_dataset.write_metadata(
        data_dir=str(folder),
        features=features,
        split_infos=infos,
        filename_template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
    )
    return str(folder)


def _png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((9, 12, 3), 20 * number, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _brightness(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Views that show the image's number and its seed."""
    number = tf.cast(image[0, 0, 0], tf.float32) / 20
    return tf.reshape(tf.stack([number, tf.cast(seed[1], tf.float32)]), [2, 1, 1, 1])


def test_img2dataset_files_give_what_their_copies_give(web, tmp_path):
    encoder = text.load_encoder("lexical")
    source, lines = f"img2dataset:{web}", []
    made = data.prepare_in_place(
        source, tmp_path / "in_place", [encoder], options=WEB, log=lines.append
    )
    copied = data.prepare(
        source,
        tmp_path / "copied",
        [encoder],
        options=data.SourceOptions(validation_fraction=0),
        quality=data.Quality(resize=0),
        log=lines.append,
    )
    assert {split: made.records(split) for split in made.splits} == {"train": 6, "val": 3}
    assert made.rejected["archive_damaged"] == 1
    assert made.rejected["fetch_http_4xx"] == web_archives.REJECTED["fetch_http_4xx"]
    assert not [*(tmp_path / "in_place").glob("train*")]
    assert data.check(tmp_path / "in_place", log=lines.append) == []

    def vectors(directory, split):
        found = data.load_images(directory, split, 9, 16, "lexical").unbatch().as_numpy_iterator()
        return {row["key"].rpartition(b"/")[2]: (row["image"], row["embedding"]) for row in found}

    expected = vectors(copied.directory, "train")
    received = vectors(made.directory, "train") | vectors(made.directory, "val")
    assert len(expected) == 9
    tf.nest.map_structure(np.testing.assert_array_equal, received, expected)
    # The same command finds its work done, and others are refused.
    again = data.prepare_in_place(source, made.directory, [encoder], options=WEB, log=lines.append)
    assert again == made
    with pytest.raises(InputError, match="was made with"):
        data.prepare(source, made.directory, [encoder], options=WEB)


def test_tfds_trains_where_it_lies_with_a_class_graph(tfds_folder, tmp_path):
    encoder = text.load_encoder("lexical")
    options = data.SourceOptions(validation_split="test")
    made = data.prepare_in_place(
        f"tfds:{tfds_folder}", tmp_path, [encoder], options=options, log=lambda line: None
    )
    assert made.class_names == ("cat", "guinea_pig")
    assert {split: made.records(split) for split in made.splits} == {"train": 10, "val": 2}
    expected = encoder(["a photo of a cat", "a photo of a guinea pig"])
    np.testing.assert_allclose(made.class_embeddings(), expected, atol=1e-3)
    stream = data.load(tmp_path, "train", 5, _brightness, captions="mean")
    seen, seeds = [], []
    for shown, side in stream.take(2).as_numpy_iterator():
        numbers = np.round(shown[:, 0, 0, 0, 0]).astype(int)
        seen += numbers.tolist()
        seeds += shown[:, 1, 0, 0, 0].tolist()
        np.testing.assert_array_equal(side["label"], numbers % 2)
        np.testing.assert_allclose(side["embedding"], expected[numbers % 2], atol=1e-3)
        assert not side["substituted"].any()
    # Without keys of their own images still differ in their views.
    assert sorted(seen) == [*range(10)] and len(set(seeds)) == 10
    keys = [row["key"] for row in data.load_images(tmp_path, "train", 1, 8).as_numpy_iterator()]
    assert len({key[0] for key in keys}) == 10
    resumed = data.load(tmp_path, "train", 5, _brightness, captions="mean", start_step=1)
    again = next(resumed.as_numpy_iterator())
    np.testing.assert_array_equal(again[0], shown)


def test_an_interrupted_inspection_goes_on(web, tmp_path, monkeypatch):
    from xsample_tf.data.preparation import in_place

    inspected, inspect = [], in_place._inspect

    def dies(path, *arguments):
        if len(inspected) == 1:
            raise KeyboardInterrupt
        inspected.append(path)
        return inspect(path, *arguments)

    arguments = {"options": WEB, "threads": 1, "log": lambda line: None}
    monkeypatch.setattr(in_place, "_inspect", dies)
    with pytest.raises(KeyboardInterrupt):
        data.prepare_in_place(f"img2dataset:{web}", tmp_path, **arguments)
    monkeypatch.setattr(in_place, "_inspect", lambda *a: inspected.append(a[0]) or inspect(*a))
    data.prepare_in_place(f"img2dataset:{web}", tmp_path, **arguments)
    assert sorted(map(pathlib.Path, inspected)) == sorted(pathlib.Path(web).glob("*.tfrecord"))


def test_what_cannot_be_used_where_it_lies_is_one_line(web, tmp_path):
    tars = web_archives.write_img2dataset(tmp_path / "tars", "webdataset")
    single = web_archives.write_img2dataset(tmp_path / "single", "tfrecord", shards=1)
    for source, options, words in (
        (f"img2dataset:{tars}", WEB, "TFRecord files"),
        ("scenes:count=4", WEB, "tfds:NAME, or img2dataset:DIR"),
        (f"img2dataset:{single}", WEB, "--validation_fraction=0"),
        (f"img2dataset:{web}", data.SourceOptions(caption_columns=("alt",)), "no column 'alt' in"),
        (f"img2dataset:{web}", data.SourceOptions(caption_columns=("txt", "url")), "txt, url"),
    ):
        with pytest.raises(InputError, match=words):
            data.prepare_in_place(source, tmp_path / "out", options=options)
    assert not (tmp_path / "out").exists()


def test_directories_of_both_kinds_do_not_mix(web, tmp_path):
    source = f"img2dataset:{web}"
    made = data.prepare_in_place(source, tmp_path / "a", options=WEB, log=lambda line: None)
    copied = data.prepare(source, tmp_path / "b", options=WEB, log=lambda line: None)
    with pytest.raises(InputError, match="prepare all with --in_place, or none"):
        data.load([made.directory, copied.directory], "train", 2, views.SimCLR(8))


def test_records_without_a_key_have_one_of_their_image():
    features = records.FeatureNames("jpg", "", "txt", "")

    def record(image: bytes) -> bytes:
        feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
        example = tf.train.Example(features=tf.train.Features(feature={"jpg": feature}))
        return example.SerializeToString()

    parsed = records.parse(tf.constant([record(b"1"), record(b"2"), record(b"1")]), features)
    assert parsed["key"][0] == parsed["key"][2] != parsed["key"][1]
    assert parsed["label"].numpy().tolist() == [-1, -1, -1]
    assert parsed["captions"].to_list() == [[], [], []]
