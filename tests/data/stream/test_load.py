"""The stream: its order is a function of (seed, step), however it is opened or run."""

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
from xsample_tf.data import records, views
from xsample_tf.errors import InputError


def test_an_epoch_visits_no_record_twice_and_epochs_differ(directory):
    numbers = image_numbers(take(directory, 40)).reshape(10, 40)
    for epoch in numbers:
        assert len(set(epoch)) == 40
    assert len({tuple(epoch) for epoch in numbers}) == 10
    # The five that fill no batch are others each time, so that in the end all are seen.
    assert set(numbers.ravel()) == set(range(COUNT))


def test_every_record_is_visited_as_often(directory):
    visits = np.bincount(image_numbers(take(directory, 240, shuffle_window=20)).ravel())
    share = 40 / COUNT  # In an epoch; whatever fills no batch is left out.
    assert np.all(np.abs(visits - 60 * share) <= 4 * np.sqrt(60 * share * (1 - share)))


@pytest.mark.parametrize(("batch_size", "window"), [(10, 8192), (10, 15), (7, 1)])
def test_a_stream_opened_at_any_step_equals_the_uninterrupted_one(directory, batch_size, window):
    arguments = {"batch_size": batch_size, "shuffle_window": window, "seed": 5}
    whole = take(directory, 15, **arguments)
    for start in (1, 3, 10):
        assert_equal(take(directory, 4, start_step=start, **arguments), whole[start : start + 4])


@pytest.mark.slow  # 11 s; other views resume above.
def test_real_views_resume_exactly(directory):
    policy = views.SimCLR(8)
    whole = take(directory, 6, make=policy)
    assert_equal(take(directory, 1, make=policy, start_step=5), whole[5:])
    assert whole[0][0].shape == (10, 2, 8, 8, 3)


def test_a_policy_that_decodes_is_given_the_bytes_and_the_seed_of_the_views(directory):
    class Decoding:
        def decode(self, content, seed):
            return tf.stack([tf.strings.length(content), seed[1]])

        def __call__(self, image, seed):
            return tf.stack([image[0], image[1] - seed[1]])

    (batch,) = take(directory, 1, make=Decoding())
    lengths = {len(records.parse(serialized_record(i))["image"].numpy()) for i in range(COUNT)}
    assert set(batch[0][:, 0]) <= lengths
    assert not batch[0][:, 1].any()


def test_without_repeat_the_epoch_ends_the_stream(directory):
    whole = take(directory, 8)
    for start in (0, 1, 6):
        stream = data.load(directory, "train", 10, show, start_step=start, repeat=False)
        last = 4 * (start // 4 + 1)
        assert stream.cardinality() == last - start
        assert_equal(list(stream.as_numpy_iterator()), whole[start:last])
    assert data.load(directory, "train", 10, show).cardinality() == tf.data.INFINITE_CARDINALITY


def test_order_does_not_depend_on_threads(directory):
    expected = take(directory, 5, shuffle_window=20)
    for threads in (1, 7):
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        options.autotune.enabled = threads > 1
        stream = data.load(directory, "train", 10, show, shuffle_window=20).with_options(options)
        assert_equal(list(stream.take(5).as_numpy_iterator()), expected)


def test_order_is_the_same_on_every_machine(directory):
    """Frozen: a change here makes old runs irreproducible, and needs a line in the change log."""
    assert image_numbers(take(directory, 1, seed=1)).tolist() == [FROZEN]


FROZEN = [11, 26, 15, 29, 18, 30, 6, 0, 44, 39]


def test_another_seed_gives_another_order(directory):
    seeds = (0, 1, -1, 2**32, 2**63 - 1)
    assert len({tuple(image_numbers(take(directory, 1, seed=seed))[0]) for seed in seeds}) == 5


def test_windows_bound_the_shuffling(tmp_path):
    """Windows of 20 in a line of shards: the batches of one hold 20 neighbours of that line."""
    directory = write_directory(tmp_path, lengths=(100,), encoders=())
    starts = set()
    for window in image_numbers(take(directory, 20, shuffle_window=20)).reshape(10, 20):
        gaps = np.diff(sorted(window), append=min(window) + 100)
        assert sorted(gaps)[-1] == 81 or set(gaps) == {1, 81}
        starts.add(int((sorted(window)[np.argmax(gaps)] + 81) % 100))
    assert len({start % 20 for start in starts}) == 2  # Each epoch cuts elsewhere.


def test_seeds_of_the_views_follow_the_key_and_the_epoch(directory):
    def seeds(batches):
        return {
            int(number): tuple(shown[1].ravel())
            for (shown_batch, _), row in zip(batches, image_numbers(batches), strict=True)
            for shown, number in zip(shown_batch, row, strict=True)
        }

    first = seeds(take(directory, 4))
    assert len(set(first.values())) == 40
    small = seeds(take(directory, 9, batch_size=5, shuffle_window=5))
    assert all(small[number] == first[number] for number in small.keys() & first.keys())
    later = seeds(take(directory, 4, start_step=4))
    assert all(later[number] != first[number] for number in later.keys() & first.keys())


@pytest.mark.parametrize("captions", ["draw", "mean"])
def test_embeddings_are_unit_rows_of_their_image(directory, captions):
    drawn = {}
    batches = take(directory, 40, captions=captions)
    for (_, side), row in zip(batches, image_numbers(batches), strict=True):
        assert side["label"].dtype == np.int32
        np.testing.assert_array_equal(side["label"], row % CLASSES)
        assert side["embedding"].dtype == np.float32
        assert not side["substituted"].any()
        for vector, number in zip(side["embedding"], row, strict=True):
            rows = caption_vectors(number).astype(np.float64)
            rows = rows.mean(0, keepdims=True) if captions == "mean" and len(rows) else rows
            if not len(rows):
                np.testing.assert_array_equal(vector, 0)
                continue
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            errors = np.abs(rows - vector).max(1)
            assert errors.min() < 1e-5
            drawn.setdefault(number, []).append(int(errors.argmin()))
    if captions == "draw":
        three = [draw for number, draws in drawn.items() if number % 3 == 2 for draw in draws]
        shares = np.bincount(three) / len(three)
        np.testing.assert_allclose(shares, 1 / 3, atol=4 * np.sqrt(2 / 9 / len(three)))


def test_several_directories_are_one_stream(tmp_path):
    first = write_directory(tmp_path / "a", lengths=(20,))
    second = write_directory(tmp_path / "b", lengths=(15, 10), first=20)
    assert data.steps_per_epoch([first, second], "train", 10) == 4
    batches = take([first, second], 4, batch_size=11)
    assert len(set(image_numbers(batches).ravel())) == 44
    for (_, side), row in zip(batches, image_numbers(batches), strict=True):
        np.testing.assert_array_equal(side["label"], row % CLASSES)
    third = write_directory(tmp_path / "c", first=45, lengths=(5,), class_names=("another",))
    assert "label" not in take([first, third], 1)[0][1]
    other = write_directory(tmp_path / "d", lengths=(5,), encoders=("f",))
    with pytest.raises(InputError, match="same text encoder"):
        data.load([first, other], "train", 10, show)


def test_without_vectors_and_labels_the_side_has_none(tmp_path):
    directory = write_directory(tmp_path, encoders=(), class_names=None)
    assert set(take(directory, 1)[0][1]) == {"key_hash", "substituted"}


def test_side_information_is_that_of_the_first_batch(directory):
    for captions, seed in (("draw", 0), ("mean", 3)):
        given = {"captions": captions, "seed": seed}
        side = data.side_information(directory, "train", limit=10, **given)
        expected = take(directory, 1, **given)[0][1]
        assert set(side) == {"key_hash", "label", "embedding"}
        for name, values in side.items():
            np.testing.assert_array_equal(values, expected[name])
    everything = data.side_information(directory, "train")
    assert sorted(everything["label"]) == sorted(i % CLASSES for i in range(COUNT))
    assert len(data.side_information(directory, "train", limit=1000)["embedding"]) == COUNT


def test_images_for_evaluation_come_once_and_in_order(tmp_path):
    rotten = {0, 21, 22, 44}
    directory = write_directory(
        tmp_path, (300, 40), record=lambda i: b"rotten" if i in rotten else serialized_record(i)
    )
    sound = [i for i in range(340) if i not in rotten]
    batches = list(data.load_images(directory, "train", 50, 8, "e").as_numpy_iterator())
    assert [len(batch["label"]) for batch in batches] == [50] * 6 + [36]
    whole = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    assert whole["key"].tolist() == [f"key{i}".encode() for i in sound]
    np.testing.assert_array_equal(whole["label"], [i % CLASSES for i in sound])
    assert whole["image"].shape == (336, 8, 8, 3)
    numbers = np.round(whole["image"][:, 4, 4] * 255).astype(int) @ [1, 256, 0]
    np.testing.assert_array_equal(numbers, sound)
    means = np.array([caption_vectors(i).astype(np.float32).sum(0) for i in sound])
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(whole["embedding"] * lengths, means, atol=1e-5)
    some = list(data.load_images(directory, "train", 50, 8, limit=30).as_numpy_iterator())
    assert "embedding" not in some[0]
    assert some[0]["key"].tolist() == [f"key{i}".encode() for i in sound[:27]]


def test_batches_are_numbers_of_known_shapes(directory):
    """As XLA and TPUs need them: strings stay on the host."""
    spec = data.load(directory, "train", 10, views.SimCLR(8)).element_spec
    for part in tf.nest.flatten(spec):
        assert part.shape.is_fully_defined() and part.dtype != tf.string


def test_replicas_share_the_batch(directory):
    """DATA sharding: the parts of two replicas make up the batch of one."""
    stream = data.load(directory, "train", 10, show)
    policy = stream.options().experimental_distribute.auto_shard_policy
    assert policy == tf.data.experimental.AutoShardPolicy.DATA
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    distributed = iter(strategy.experimental_distribute_dataset(stream))
    for expected, _ in take(directory, 2):
        parts = strategy.experimental_local_results(next(distributed)[0])
        np.testing.assert_array_equal(np.concatenate(parts), expected)


@pytest.mark.parametrize(
    "workers, batch_size",
    [
        (2, 10),
        pytest.param(3, 12, marks=pytest.mark.slow),
        pytest.param(5, 10, marks=pytest.mark.slow),
    ],
)
def test_workers_make_their_own_rows_of_the_batch(directory, workers, batch_size):
    given = {"batch_size": batch_size, "shuffle_window": 25, "start_step": 1}
    whole = take(directory, 6, **given)
    shares = [take(directory, 6, share=(i, workers), **given) for i in range(workers)]
    assert shares[0][0][0].shape[0] == batch_size // workers
    joined = [
        tf.nest.map_structure(lambda *parts: np.concatenate(parts), *parts)
        for parts in zip(*shares, strict=True)
    ]
    assert_equal(joined, whole)
    with pytest.raises(InputError, match="share: expected part i of n equal ones"):
        take(directory, 1, share=(0, 7), **given)
    stream = data.load(directory, "train", batch_size, show, share=(0, workers))
    policy = stream.options().experimental_distribute.auto_shard_policy
    assert policy == tf.data.experimental.AutoShardPolicy.OFF  # Not to be shared again.
