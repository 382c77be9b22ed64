import numpy as np
import pytest
from helpers import tiny_data
from helpers.plain_encoders import mean_color

from xsample_tf import evaluation
from xsample_tf.data import image_files, manifest, records
from xsample_tf.errors import InputError


def test_without_labels_or_captions_what_is_left_is_measured(bare_dir, tmp_path):
    assert set(evaluation.evaluate(mean_color, bare_dir, image_size=16)["trained"]) == {"rankme"}
    captioned = tiny_data.write(tmp_path, labelled=False)
    scores = evaluation.evaluate(mean_color, captioned, image_size=16)["trained"]
    assert "kl" in scores and "knn_top1" not in scores
    with pytest.raises(InputError, match="knn need labels.*caption_cosine, kl, recall, text_"):
        evaluation.evaluate(mean_color, captioned, probes=["knn"], image_size=16)


def test_limit(data_dir):
    meta = evaluation.evaluate(mean_color, data_dir, image_size=16, limit=30)["meta"]
    assert meta["images"] == {"train": 30, "val": 30}


def test_images_without_caption_or_readable_bytes_are_counted_and_left_out(tmp_path):
    directory = tiny_data.write(tmp_path)
    dataset = manifest.read_dataset(directory)
    rotten = records.serialize(b"\x89PNG not really", "rotten", ["words"], 0)
    plain = image_files.encode_png(np.full((20, 20, 3), 90, np.uint8))
    rows = [records.serialize(plain, str(i), ["words"], i % 6) for i in range(11)] + [rotten]
    vectors = [np.eye(8)[i % 6].astype("<f2").tobytes() if i else b"" for i in range(12)]
    dataset.splits["val"] = (tiny_data.shard(tmp_path, "val/00000.tfrecord", rows),)
    dataset.encoders["toy"].shards["val"] = (
        tiny_data.shard(tmp_path, "embeddings/toy/val/00000.tfrecord", vectors),
    )
    manifest.write_dataset(dataset)
    results = evaluation.evaluate(mean_color, directory, image_size=16)
    meta = results["meta"]
    assert meta["unreadable"] == {"train": 0, "val": 1}
    assert meta["images"]["val"] == 11 and meta["captioned"]["val"] == 10
    assert "left out: 1 images of val: they cannot be decoded" in evaluation.table(results)


def test_what_is_left_out_for_want_of_labels_or_captions_is_said(tmp_path):
    directory = tiny_data.write(tmp_path)
    dataset = manifest.read_dataset(directory)
    plain = image_files.encode_png(np.full((20, 20, 3), 90, np.uint8))
    rows = [records.serialize(plain, str(i), ["words"], 0 if i == 0 else None) for i in range(9)]
    dataset.splits["val"] = (tiny_data.shard(tmp_path, "val/00000.tfrecord", rows),)
    dataset.encoders["toy"].shards["val"] = (
        tiny_data.shard(tmp_path, "embeddings/toy/val/00000.tfrecord", [b""] * 9),
    )
    manifest.write_dataset(dataset)
    results = evaluation.evaluate(mean_color, directory, image_size=16)
    assert set(results["trained"]) == {"rankme"}
    assert results["meta"]["labelled"] == {"train": 96, "val": 1}
    assert results["meta"]["left_out"] == {
        "probes": "fewer than 2 labelled images in a split",
        "measures of captions": "fewer than 2 images with a caption vector in a split",
    }
