"""A trained encoder's vectors of the images: stored, resumed, streamed, and the graph of them."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.data_directory import (
    COUNT,
    assert_equal,
    image_numbers,
    serialized_record,
    take,
    write_directory,
)

from xsample_tf import data, graphs
from xsample_tf.data import Subset, records
from xsample_tf.errors import InputError


class Teacher:
    """Vectors that show the red of the pixels, which is the image's number."""

    name, handle, size = "teacher", "a handle", 3

    def __init__(self):
        self.calls = 0

    def __call__(self, files):
        self.calls += 1
        if self.calls > 1 and getattr(self, "dies", False):
            raise KeyboardInterrupt
        numbers = []
        for content in files:
            try:
                numbers.append(float(tf.io.decode_image(content)[0, 0, 0]))
            except tf.errors.OpError:
                numbers.append(np.nan)
        return np.stack([np.cos(numbers), np.sin(numbers), np.zeros(len(files))], axis=1)


def add(directory, teacher=None, **arguments):
    return data.add_image_embeddings(
        directory, teacher or Teacher(), log=lambda line: None, **arguments
    )


def expected(numbers):
    return np.stack([np.cos(numbers), np.sin(numbers), np.zeros(len(numbers))], axis=1)


@pytest.fixture(scope="module")
def with_vectors(tmp_path_factory):
    directory = write_directory(tmp_path_factory.mktemp("data"))
    add(directory)
    return directory


@pytest.mark.parametrize("subset", [None, Subset(0.5), Subset(per_class=5)])
def test_the_stream_has_each_image_s_own_vector(with_vectors, subset):
    batches = take(with_vectors, 3, 8, subset=subset, image_embedding="")
    for numbers, (_, side) in zip(image_numbers(batches), batches, strict=True):
        np.testing.assert_allclose(side["image_embedding"], expected(numbers), atol=2e-3)
    plain = take(with_vectors, 3, 8, subset=subset)
    for _, side in batches:
        del side["image_embedding"]
    assert_equal(batches, plain)


def test_the_manifest_says_what_is_there_and_check_finds_it_intact(with_vectors):
    encoder = data.read_dataset(with_vectors).image_encoder(None)
    assert (encoder.name, encoder.handle, encoder.size) == ("teacher", "a handle", 3)
    np.testing.assert_allclose(encoder.mean, expected(np.arange(COUNT)).mean(axis=0), atol=1e-3)
    lines = []
    faults = data.check(with_vectors, log=lines.append)
    assert not any("image_embeddings" in fault for fault in faults)
    assert any("image_embeddings/teacher/train" in line for line in lines)


def test_a_pass_that_was_killed_goes_on(tmp_path):
    directory = write_directory(tmp_path)
    teacher = Teacher()
    teacher.dies = True
    with pytest.raises(KeyboardInterrupt):
        add(directory, teacher)
    assert data.read_dataset(directory).image_encoders == {}
    again = Teacher()
    dataset = add(directory, again)
    assert again.calls == 2  # Of three shards.
    assert sum(shard.records for shard in dataset.image_encoders["teacher"].shards["train"]) == 45
    assert add(directory, again).image_encoders and again.calls == 2


def test_images_that_cannot_be_decoded_are_counted_and_relate_to_nothing(tmp_path):
    def record(i):
        return records.serialize(b"rotten", "key7", [], 2) if i == 7 else serialized_record(i)

    directory = write_directory(tmp_path, lengths=(10,), record=record)
    dataset = add(directory)
    assert dataset.rejected == {"image_embedding_not_finite:teacher": 1}
    side = data.side_information(directory, "train", image_embedding="teacher")
    assert np.sum(~side["image_embedding"].any(axis=1)) == 1


def test_the_graph_is_the_cosine_of_the_teacher_s_vectors():
    vectors = tf.constant([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    np.testing.assert_allclose(
        graphs.ImageGraph().similarity(vectors, vectors),
        graphs.CosineGraph().similarity(vectors, vectors),
    )


def test_what_does_not_go_together_is_refused(with_vectors, tmp_path):
    other = Teacher()
    other.handle = "another"
    with pytest.raises(InputError, match="has vectors 'teacher' of size 3 from 'a handle'"):
        add(with_vectors, other)
    with pytest.raises(
        InputError, match="image_embedding: no image vectors 'no' in .*; (choose|did)"
    ):
        take(with_vectors, 1, image_embedding="no")
    with pytest.raises(InputError, match="append: expected a data directory without image vectors"):
        data.append("folder:nowhere", with_vectors)
    bare = write_directory(tmp_path)
    with pytest.raises(InputError, match="image_embedding: .* has no image vectors; add them with"):
        take(bare, 1, image_embedding="")


def test_a_saved_model_encodes_image_files(tmp_path):
    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, "images")])
        def serve(self, images):
            return {"embedding": tf.reduce_mean(images, axis=[1, 2])}

    model = Model()
    path = tmp_path / "red" / "export" / "saved_model"
    tf.saved_model.save(model, str(path), {"serving_default": model.serve})
    encoder = data.SavedModelImageEncoder(str(tmp_path / "red" / "export"))
    assert (encoder.name, encoder.size) == ("red", 3)
    files = [records.parse(serialized_record(i))["image"].numpy() for i in (50, 200)]
    rows = encoder([files[0], b"rotten", files[1]])
    np.testing.assert_allclose(rows[[0, 2], 0], np.array([50, 200]) / 255, atol=1e-3)
    assert np.isnan(rows[1]).all()
    with pytest.raises(InputError, match="image_encoder: expected a SavedModel"):
        data.SavedModelImageEncoder(str(tmp_path / "nowhere"))


def test_another_preparation_leaves_no_vectors_of_the_images_before(tmp_path):
    def prepare(place, seed, **arguments):
        options = data.SourceOptions(validation_fraction=0.2, seed=seed)
        data.prepare(
            "scenes:count=40,size=16", place, options=options, log=lambda line: None, **arguments
        )
        (place / "vocabulary.txt").touch()
        return add(place)

    used, fresh = tmp_path / "used", tmp_path / "fresh"
    prepare(used, 0)
    list(take(str(used), 1, 8, subset=Subset(per_class=1)))
    assert (used / "index").is_dir()
    prepare(used, 1, overwrite=True)
    assert not (used / "index").exists()
    prepare(fresh, 1)
    for one, two in zip(
        take(str(used), 2, 8, image_embedding=""),
        take(str(fresh), 2, 8, image_embedding=""),
        strict=True,
    ):
        np.testing.assert_array_equal(one[1]["image_embedding"], two[1]["image_embedding"])


def test_images_that_changed_under_the_journal_are_encoded_again(tmp_path):
    add(write_directory(tmp_path))
    directory = write_directory(tmp_path, first=COUNT)
    add(directory)
    batches = take(directory, 2, image_embedding="")
    numbers = image_numbers(batches)
    assert numbers.min() >= COUNT
    for (_, side), own in zip(batches, numbers, strict=True):
        np.testing.assert_allclose(side["image_embedding"], expected(own), atol=2e-3)
