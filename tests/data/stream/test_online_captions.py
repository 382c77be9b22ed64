"""Captions encoded on the way, against the vectors that would have been stored."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from helpers.data_directory import show

from xsample_tf import data, evaluation, graphs, text, training
from xsample_tf.data import manifest, records
from xsample_tf.data.shards import Shard
from xsample_tf.errors import InputError
from xsample_tf.training.objectives import make_objective

SCENES = "scenes:count=24,size=16"


@pytest.fixture(scope="module")
def directories(tmp_path_factory) -> tuple[str, str]:
    """The same images and captions with stored vectors, and without."""
    folder, encoder = tmp_path_factory.mktemp("data"), text.load_encoder("lexical")
    options = data.SourceOptions(validation_fraction=0.5)
    for name, encoders in (("stored", [encoder]), ("bare", [])):
        data.prepare(SCENES, folder / name, encoders, options=options, log=lambda line: None)
    return str(folder / "stored"), str(folder / "bare")


@pytest.mark.parametrize("captions", ["draw", "mean"])
@pytest.mark.parametrize("share", [(0, 1), (1, 2)])
def test_equals_stored_vectors(directories, captions, share):
    stored, bare = directories
    encoder = text.load_encoder("lexical")
    arguments = {"seed": 3, "captions": captions, "start_step": 2, "share": share}
    expected = data.load(stored, "train", 8, show, **arguments)
    received = data.load(bare, "train", 8, show, embedding=encoder, **arguments)
    assert received.element_spec[1]["embedding"].shape == (8 // share[1], encoder.size)
    for (views, side), (other_views, other) in zip(
        expected.take(4).as_numpy_iterator(), received.take(4).as_numpy_iterator(), strict=True
    ):
        np.testing.assert_array_equal(views, other_views)
        assert side.keys() == other.keys()
        # Stored ones are rounded to float16.
        np.testing.assert_allclose(side["embedding"], other["embedding"], atol=1e-3)
        np.testing.assert_allclose(np.linalg.norm(other["embedding"], axis=1), 1, atol=1e-5)


def test_side_information_and_images_have_them_too(directories):
    stored, bare = directories
    encoder = text.load_encoder("lexical")
    expected = data.side_information(stored, "train", limit=10)["embedding"]
    received = data.side_information(bare, "train", encoder, limit=10)["embedding"]
    np.testing.assert_allclose(expected, received, atol=1e-3)
    rows = [
        np.concatenate([batch["embedding"] for batch in images.as_numpy_iterator()])
        for images in (
            data.load_images(stored, "val", 5, 16, "lexical"),
            data.load_images(bare, "val", 5, 16, encoder),
        )
    ]
    np.testing.assert_allclose(*rows, atol=1e-3)


class _Broken:
    """Encodes "good" captions as ones, others as what is not finite."""

    name, handle, size = "broken", "broken", 3

    def __call__(self, captions):
        return np.array([[1.0 if "good" in caption else np.nan] * 3 for caption in captions])


def test_images_without_usable_captions_relate_to_nothing(tmp_path):
    rows = [["good"], [], ["bad"], ["good", "bad"], ["good", "good one"]]
    shard = tmp_path / "train" / "00000.tfrecord"
    shard.parent.mkdir()
    pixel = tf.io.encode_png(np.zeros([2, 2, 3], np.uint8)).numpy()
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for i, captions in enumerate(rows):
            writer.write(records.serialize(pixel, f"{i}", captions))
    described = Shard("train/00000.tfrecord", 5, shard.stat().st_size, "")
    manifest.write_dataset(
        manifest.Dataset(str(tmp_path), {"train": (described,)}, None, 2, {}, {}, "test")
    )
    images = next(data.load_images(tmp_path, "train", 5, 2, _Broken()).as_numpy_iterator())
    unit = np.full(3, 3**-0.5)
    np.testing.assert_allclose(images["embedding"], [unit, 0 * unit, 0 * unit, 0 * unit, unit])


def test_a_run_needs_no_stored_vectors(directories):
    stored, bare = directories
    bare_options = training.Options(
        data_dir=(bare,), encode_captions="lexical", batch_size=8, image_size=16, steps=1
    )
    dataset = data.read_dataset(bare)
    objective = make_objective(bare_options, dataset)
    with pytest.raises(InputError, match="--encode_captions=HANDLE"):
        make_objective(dataclasses.replace(bare_options, encode_captions=""), dataset)
    assert isinstance(objective.graph, graphs.CosineGraph)
    assert objective.target.target_temperature > 0
    _, side = next(iter(objective.make_stream()))
    assert side["embedding"].shape == (8, 384)
    # The class graph is of the class names' vectors, as it is where they are stored.
    by_class = dataclasses.replace(bare_options, graph="class")
    by_stored_class = dataclasses.replace(by_class, data_dir=(stored,), encode_captions="")
    stored_graph = make_objective(by_stored_class, data.read_dataset(stored)).graph
    received = make_objective(by_class, dataset).graph
    labels = tf.range(3)
    np.testing.assert_allclose(
        *(one.similarity(labels, labels) for one in (received, stored_graph)), atol=2e-3
    )


def test_evaluation_takes_an_encoder(directories):
    _, bare = directories

    def embed(images):
        return tf.reshape(images, [len(images), -1])[:, :16]

    arguments = {"image_size": 16, "probes": [], "log": lambda line: None}
    with_captions = evaluation.evaluate(
        embed, bare, embedding=text.load_encoder("lexical"), **arguments
    )
    assert with_captions["meta"]["text_encoder"] == "lexical"
    assert with_captions["trained"]["kl"] > 0
    assert "kl" not in evaluation.evaluate(embed, bare, **arguments)["trained"]


@pytest.mark.parametrize("other", [{"embedding": "lexical"}, {"center": True}])
def test_stored_vectors_exclude_it(other):
    with pytest.raises(InputError, match="expected stored caption vectors"):
        training.Options(encode_captions="lexical", **other)
