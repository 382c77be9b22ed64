"""Vectors of images as files: against plain loops, through kills, bad files and other settings."""

import csv

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from helpers import tiny_data
from PIL import Image

from xsample_tf import embedding, evaluation
from xsample_tf.data import sources, views
from xsample_tf.embedding.embed import NOT_FINITE
from xsample_tf.errors import InputError
from xsample_tf.export import Exported

SIZE = 8


class MeanColor:
    """An encoder that knows what it has been given, and fails when it is told to."""

    def __init__(self):
        self.shapes, self.fail_at = [], None
        self.change = lambda vectors: vectors

    def __call__(self, images):
        self.shapes.append(tuple(images.shape))
        if len(self.shapes) == self.fail_at:
            raise KeyboardInterrupt
        return self.change(tf.reduce_mean(images, axis=[1, 2]))

    def __str__(self):
        return "mean color"


@pytest.fixture
def encoder(tmp_path):
    weights = tmp_path / "weights"
    weights.write_bytes(b"weights")
    return Exported(weights, {}, None, MeanColor())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """40 images of two classes, every fourth a bitmap, and six files that are no good."""
    directory = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(40):
        parent = directory / ("dark" if number % 2 else "light")
        parent.mkdir(exist_ok=True)
        pixels = random.integers(0, 256, (9 + number % 5, 12, 3)).astype(np.uint8)
        ending = "jpg" if number % 4 else "bmp"
        Image.fromarray(pixels).save(parent / f"{number:02}.{ending}", quality=95)
    whole = (directory / "dark" / "01.jpg").read_bytes()
    for number in range(3):
        (directory / "dark" / f"cut-{number}.jpg").write_bytes(whole[: len(whole) // 2])
    (directory / "light" / "empty.jpg").write_bytes(b"")
    (directory / "light" / "page.jpg").write_bytes(b"<html>")
    (directory / "light" / "dot.png").write_bytes(tiny_png())
    return directory


def tiny_png() -> bytes:
    return tf.io.encode_png(np.zeros([1, 1, 3], np.uint8)).numpy()


def open_images(folder, **options) -> embedding.SourceImages:
    return embedding.SourceImages(f"folder:{folder}", sources.Options(**options))


def read(directory) -> tuple[np.ndarray, pd.DataFrame]:
    shards = sorted((directory / "vectors").glob("*.npy"))
    vectors = np.concatenate([np.load(shard) for shard in shards])
    keys = pd.read_parquet(directory / "keys.parquet")
    np.testing.assert_array_equal(keys["row"], np.arange(len(vectors)))
    return vectors, keys


def expected(path) -> np.ndarray:
    """The mean colour of an image file in the evaluation view."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    if path.endswith("jpg"):  # Pillow rounds the colours of these differently.
        pixels = tf.io.decode_jpeg(tf.io.read_file(path)).numpy()
    return views.Evaluation(SIZE)(tf.constant(pixels))[0].numpy().mean(axis=(0, 1))


def run(encoder, images, output, **settings):
    settings = {"batch_size": 7, "rows_per_shard": 10, "log": lambda line: None} | settings
    return embedding.embed(encoder, images, output, SIZE, **settings)


def test_every_image_gets_its_vector_and_bad_files_are_counted(encoder, folder, tmp_path):
    described = run(encoder, open_images(folder), tmp_path / "out")
    vectors, keys = read(tmp_path / "out")
    assert described["rows"] == len(vectors) == 40 and described["size"] == 3
    assert described["left_out"] == {
        "undecodable": 3,
        "empty_file": 1,
        "not_an_image": 1,
        "too_small": 1,
    }
    np.testing.assert_allclose(vectors, [expected(path) for path in keys["path"]], atol=1e-5)
    assert sorted(keys["key"]) == sorted(
        str(path.relative_to(folder)) for path in folder.rglob("[0-9]*")
    )
    assert [key.partition("/")[0] for key in keys["key"]] == list(keys["class"])
    assert set(encoder.model.shapes) == {(7, SIZE, SIZE, 3)}
    with open(tmp_path / "out" / "left_out.csv", newline="", encoding="utf-8") as file:
        listed = {row["key"]: row["reason"] for row in csv.DictReader(file)}
    assert listed["light/empty.jpg"] == "empty_file" and listed["dark/cut-0.jpg"] == "undecodable"
    assert len(listed) == 6


def test_a_killed_run_goes_on_after_its_last_shard(encoder, folder, tmp_path):
    images, output, lines = open_images(folder), tmp_path / "out", []
    run(encoder, images, tmp_path / "whole")
    encoder.model.shapes.clear()
    encoder.model.fail_at = 5
    with pytest.raises(KeyboardInterrupt):
        run(encoder, images, output)
    finished = sorted((output / "vectors").glob("[0-9]*.npy"))
    assert 0 < len(finished) < 5 and not (output / "embeddings.json").exists()
    times = [path.stat().st_mtime_ns for path in finished]
    encoder.model.shapes.clear()
    encoder.model.fail_at = None
    run(encoder, images, output, log=lines.append)
    assert times == [path.stat().st_mtime_ns for path in finished]
    assert len(encoder.model.shapes) <= 5
    assert lines[0].startswith(f"{len(finished)} of 5 shards are in")
    vectors, keys = read(output)
    whole, whole_keys = read(tmp_path / "whole")
    np.testing.assert_array_equal(vectors, whole)
    pd.testing.assert_frame_equal(keys, whole_keys)
    encoder.model.shapes.clear()
    assert run(encoder, images, output, log=lines.append)["rows"] == 40
    assert lines[-1].startswith("40 vectors are in") and not encoder.model.shapes


@pytest.mark.parametrize(
    "change, named",
    [
        ({"dtype": "float16"}, "dtype='float32', now 'float16'"),
        ({"limit": 5}, r"images=\{'all': 46\}, now \{'all': 5\}"),
    ],
)
def test_other_settings_in_the_same_directory_are_refused(encoder, folder, tmp_path, change, named):
    images = open_images(folder)
    run(encoder, images, tmp_path / "out")
    with pytest.raises(InputError, match=f"made with {named}; .*--overwrite"):
        run(encoder, images, tmp_path / "out", **change)
    run(encoder, images, tmp_path / "out", overwrite=True, **change)
    vectors, keys = read(tmp_path / "out")
    assert len(vectors) == len(keys) and vectors.dtype == change.get("dtype", "float32")


def test_other_weights_and_another_order_are_refused(encoder, folder, tmp_path):
    run(encoder, open_images(folder), tmp_path / "out", limit=4)
    with pytest.raises(InputError, match="made with seed=0, now 1"):
        run(encoder, open_images(folder, seed=1), tmp_path / "out", limit=4)
    encoder.saved_model.write_bytes(b"others")
    with pytest.raises(InputError, match="made with weights="):
        run(encoder, open_images(folder), tmp_path / "out", limit=4)


def test_what_is_not_ours_is_left_alone(encoder, folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        run(encoder, open_images(folder), tmp_path / "out", overwrite=True)


def test_vectors_that_are_not_finite_are_left_out(encoder, folder, tmp_path):
    def break_one(vectors):
        rows = tf.range(len(vectors))[:, None]
        return tf.where(rows == 2, np.inf, vectors)

    encoder.model.change = break_one
    described = run(encoder, open_images(folder), tmp_path / "out")
    assert described["left_out"][NOT_FINITE] == 6 and described["rows"] == 34
    vectors, keys = read(tmp_path / "out")
    np.testing.assert_allclose(vectors, [expected(path) for path in keys["path"]], atol=1e-5)
    encoder.model.change = lambda vectors: vectors * 1e6
    with pytest.raises(InputError, match="expected finite vectors"):
        run(encoder, open_images(folder), tmp_path / "half", dtype="float16")


def test_no_image_at_all_is_an_error(encoder, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    with pytest.raises(InputError, match="expected a folder with files"):
        embedding.FolderImages(photos)
    for number in range(3):
        (photos / f"{number}.png").write_bytes(tiny_png())
    with pytest.raises(InputError, match=r"received none that can be used \(3 too_small\)"):
        run(encoder, embedding.FolderImages(photos), tmp_path / "out")


def test_a_folder_needs_no_order_of_its_own(encoder, folder, tmp_path):
    images = embedding.FolderImages(folder)
    assert images.settings == embedding.FolderImages(str(folder)).settings
    described = run(encoder, images, tmp_path / "out")
    vectors, keys = read(tmp_path / "out")
    assert described["left_out"]["not_an_image"] == 1 and len(vectors) == 40
    assert list(keys["key"]) == sorted(keys["key"]) and keys["class"].isna().all()
    np.testing.assert_allclose(vectors, [expected(path) for path in keys["path"]], atol=1e-5)


def test_a_data_directory_gives_what_evaluation_sees(encoder, tmp_path):
    directory = tiny_data.write(tmp_path / "data", train=30, val=12)
    images = embedding.PreparedImages(directory)
    run(encoder, images, tmp_path / "out", rows_per_shard=11)
    vectors, keys = read(tmp_path / "out")
    for split in ("train", "val"):
        features = evaluation.extract(
            {"own": encoder.model}, directory, split, SIZE, 8, log=lambda line: None
        )
        rows = keys["split"] == split
        np.testing.assert_allclose(vectors[rows], features.embeddings["own"], atol=1e-6)
        np.testing.assert_array_equal(keys["label"][rows], features.labels)
    assert keys["captions"][31][0] == "colour number 1" and keys["class"][31] == "color_1"
    assert list(keys["key"][:2]) == ["train-0", "train-1"]
    run(encoder, embedding.PreparedImages(directory, "val"), tmp_path / "val", limit=5)
    np.testing.assert_array_equal(read(tmp_path / "val")[0], vectors[30:35])
    with pytest.raises(InputError, match="split: .*'test'"):
        embedding.PreparedImages(directory, "test")


def test_a_damaged_shard_ends_the_run_with_a_line(encoder, tmp_path):
    directory = tiny_data.write(tmp_path / "data", train=30, val=12)
    shard = tmp_path / "data" / "train" / "00000.tfrecord"
    content = bytearray(shard.read_bytes())
    content[-500] ^= 255
    shard.write_bytes(content)
    with pytest.raises(InputError, match="00000.tfrecord is corrupt"):
        run(encoder, embedding.PreparedImages(directory), tmp_path / "out")
    assert not (tmp_path / "out" / "embeddings.json").exists()


def test_what_browsers_show_is_near_what_it_is_near(encoder, folder, tmp_path):
    images = open_images(folder)
    described = run(encoder, images, tmp_path / "out")
    path = embedding.write_browsable(tmp_path / "out", described, images, 15, lambda line: None)
    table = pd.read_parquet(path)
    vectors, keys = read(tmp_path / "out")
    assert len(table) == 15 and table["row"].iloc[0] == 0 and table["row"].iloc[-1] == 39
    shown = vectors[table["row"]]
    np.testing.assert_array_equal(keys["key"][table["row"]], table["key"])
    units = shown / np.linalg.norm(shown, axis=1, keepdims=True)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -1)
    for row, neighbours in enumerate(table["neighbors"]):
        best = np.sort(cosines[row])[::-1][:10]
        np.testing.assert_allclose(1 - neighbours["distances"], best, atol=1e-5)
        np.testing.assert_allclose(cosines[row][neighbours["ids"]], best, atol=1e-5)
    for jpeg, vector in zip(table["image"], shown, strict=True):
        pixels = tf.io.decode_jpeg(jpeg).numpy()
        assert pixels.shape == (128, 128, 3)
        np.testing.assert_allclose(pixels.mean(axis=(0, 1)) / 255, vector, atol=0.03)
    assert np.isfinite(table[["projection_x", "projection_y"]]).all(axis=None)
    with pytest.raises(InputError, match="browse: expected 2 images or more"):
        embedding.write_browsable(tmp_path / "out", described, images, 1)


def test_the_map_keeps_groups_apart():
    random = np.random.default_rng(0)
    centres = random.normal(size=(3, 20))
    groups = np.arange(60) % 3
    vectors = centres[groups] + 0.05 * random.normal(size=(60, 20))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    plane = embedding.project(vectors, log=lambda line: None)
    distances = np.linalg.norm(plane[:, None] - plane[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (groups[distances.argmin(axis=1)] == groups).all()
    assert embedding.project(vectors[:2], log=lambda line: None).shape == (2, 2)
    assert embedding.project(vectors[:, :1], log=lambda line: None).shape == (60, 2)


def test_another_column_of_images_is_refused(encoder, folder, tmp_path):
    rows = "".join(f"{i},{folder}/dark/0{i}.jpg,{folder}/dark/1{i}.jpg\n" for i in (1, 3))
    (tmp_path / "t.csv").write_text(f"id,front,back\n{rows}")

    def images(column):
        options = sources.Options(key_column="id", image_column=column)
        return embedding.SourceImages(f"table:{tmp_path / 't.csv'}", options)

    run(encoder, images("front"), tmp_path / "out")
    with pytest.raises(InputError, match="made with image_column='front', now 'back'"):
        run(encoder, images("back"), tmp_path / "out")
