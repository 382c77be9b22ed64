"""The stream: its order is a function of (seed, step), whatever is rotten, resumed or parallel."""

import dataclasses
import hashlib
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from xsample_tf import data
from xsample_tf.data import images, records, shards, views
from xsample_tf.errors import InputError

COUNT, SIZE, CLASSES = 45, 4, 5


def _vectors(i: int, size: int = SIZE) -> np.ndarray:
    """Unit rows of image i: one to three captions, and none for every ninth image."""
    rows = np.random.default_rng(i).normal(size=(i % 3 + 1, size))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows[:0] if i % 9 == 8 else rows).astype(np.float16)


def _record(i: int) -> bytes:
    pixels = np.full((9, 12, 3), (i % 256, i // 256, 7), np.uint8)
    return records.serialize(images.encode_png(pixels), f"key{i}", ["a"] * (i % 3), i % CLASSES)


def _write_shards(directory, folder, contents, lengths) -> tuple[records.Shard, ...]:
    written, contents = [], iter(contents)
    for number, length in enumerate(lengths):
        path = pathlib.Path(directory, folder, f"{number:05d}.tfrecord")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(path)) as writer:
            for _ in range(length):
                writer.write(next(contents))
        raw = path.read_bytes()
        digest = hashlib.sha256(raw).hexdigest()
        written.append(records.Shard(f"{folder}/{path.name}", length, len(raw), digest))
    return tuple(written)


def _write(
    directory, lengths=(20, 10, 15), first=0, record=_record, vector=_vectors, encoders=("e",), **kw
) -> str:
    """A data directory of images that are as red as their number."""
    numbers = range(first, first + sum(lengths))
    splits = {"train": _write_shards(directory, "train", map(record, numbers), lengths)}
    dataset = records.Dataset(
        directory=str(directory),
        splits=splits,
        class_names=tuple(f"class {c}" for c in range(CLASSES)),
        captions_per_image=3,
        encoders={
            name: records.Encoder(
                name,
                name,
                SIZE,
                None,
                (0.0,) * SIZE,
                {
                    "train": _write_shards(
                        directory,
                        f"embeddings/{name}/train",
                        (bytes(vector(i)) for i in numbers),
                        lengths,
                    )
                },
            )
            for name in encoders
        },
        rejected={},
        source="test",
    )
    records.write_dataset(dataclasses.replace(dataset, **kw))
    return str(directory)


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> str:
    return _write(tmp_path_factory.mktemp("data"))


def _show(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Views that show the image's number and their seed."""
    shown = tf.cast(image[0, 0, :2], tf.float32)
    parts = tf.cast(tf.bitwise.right_shift(seed, 16), tf.float32)
    return tf.reshape(tf.concat([shown, parts], 0), [2, 1, 1, 2])


def _take(directory, steps, batch_size=10, make=_show, **arguments) -> list[tuple]:
    stream = data.load(directory, "train", batch_size, make, **arguments)
    return list(stream.take(steps).as_numpy_iterator())


def _numbers(batches) -> np.ndarray:
    """The images' numbers `[steps, B]`."""
    return np.array(
        [shown[:, 0, 0, 0, 0] + 256 * shown[:, 0, 0, 0, 1] for shown, _ in batches], int
    )


def _assert_equal(first, second):
    tf.nest.map_structure(np.testing.assert_array_equal, first, second)


def test_an_epoch_visits_no_record_twice_and_epochs_differ(directory):
    numbers = _numbers(_take(directory, 40)).reshape(10, 40)
    for epoch in numbers:
        assert len(set(epoch)) == 40
    assert len({tuple(epoch) for epoch in numbers}) == 10
    # The five that fill no batch are others each time, so that in the end all are seen.
    assert set(numbers.ravel()) == set(range(COUNT))


def test_every_record_is_visited_as_often(directory):
    visits = np.bincount(_numbers(_take(directory, 240, shuffle_window=20)).ravel())
    share = 40 / COUNT  # In an epoch; whatever fills no batch is left out.
    assert np.all(np.abs(visits - 60 * share) <= 4 * np.sqrt(60 * share * (1 - share)))


@pytest.mark.parametrize(("batch_size", "window"), [(10, 8192), (10, 15), (7, 1)])
def test_a_stream_opened_at_any_step_equals_the_uninterrupted_one(directory, batch_size, window):
    arguments = {"batch_size": batch_size, "shuffle_window": window, "seed": 5}
    whole = _take(directory, 15, **arguments)
    for start in (1, 3, 10):
        _assert_equal(_take(directory, 4, start_step=start, **arguments), whole[start : start + 4])


def test_real_views_resume_exactly(directory):
    policy = views.SimCLR(8)
    whole = _take(directory, 6, make=policy)
    _assert_equal(_take(directory, 1, make=policy, start_step=5), whole[5:])
    assert whole[0][0].shape == (10, 2, 8, 8, 3)


def test_without_repeat_the_epoch_ends_the_stream(directory):
    whole = _take(directory, 8)
    for start in (0, 1, 6):
        stream = data.load(directory, "train", 10, _show, start_step=start, repeat=False)
        last = 4 * (start // 4 + 1)
        assert stream.cardinality() == last - start
        _assert_equal(list(stream.as_numpy_iterator()), whole[start:last])
    assert data.load(directory, "train", 10, _show).cardinality() == tf.data.INFINITE_CARDINALITY


def test_order_does_not_depend_on_threads(directory):
    expected = _take(directory, 5, shuffle_window=20)
    for threads in (1, 7):
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        options.autotune.enabled = threads > 1
        stream = data.load(directory, "train", 10, _show, shuffle_window=20).with_options(options)
        _assert_equal(list(stream.take(5).as_numpy_iterator()), expected)


def test_order_is_the_same_on_every_machine(directory):
    """Frozen: a change here makes old runs irreproducible, and needs a line in the change log."""
    assert _numbers(_take(directory, 1, seed=1)).tolist() == [FROZEN]


FROZEN = [11, 26, 15, 29, 18, 30, 6, 0, 44, 39]


def test_another_seed_gives_another_order(directory):
    seeds = (0, 1, -1, 2**32, 2**63 - 1)
    assert len({tuple(_numbers(_take(directory, 1, seed=seed))[0]) for seed in seeds}) == 5


def test_windows_bound_the_shuffling(tmp_path):
    """Windows of 20 in a line of shards: the batches of one hold 20 neighbours of that line."""
    directory = _write(tmp_path, lengths=(100,), encoders=())
    starts = set()
    for window in _numbers(_take(directory, 20, shuffle_window=20)).reshape(10, 20):
        gaps = np.diff(sorted(window), append=min(window) + 100)
        assert sorted(gaps)[-1] == 81 or set(gaps) == {1, 81}
        starts.add(int((sorted(window)[np.argmax(gaps)] + 81) % 100))
    assert len({start % 20 for start in starts}) == 2  # Each epoch cuts elsewhere.


def test_seeds_of_the_views_follow_the_key_and_the_epoch(directory):
    def seeds(batches):
        return {
            int(number): tuple(shown[1].ravel())
            for (shown_batch, _), row in zip(batches, _numbers(batches), strict=True)
            for shown, number in zip(shown_batch, row, strict=True)
        }

    first = seeds(_take(directory, 4))
    assert len(set(first.values())) == 40
    small = seeds(_take(directory, 9, batch_size=5, shuffle_window=5))
    assert all(small[number] == first[number] for number in small.keys() & first.keys())
    later = seeds(_take(directory, 4, start_step=4))
    assert all(later[number] != first[number] for number in later.keys() & first.keys())


@pytest.mark.parametrize("captions", ["draw", "mean"])
def test_embeddings_are_unit_rows_of_their_image(directory, captions):
    drawn = {}
    batches = _take(directory, 40, captions=captions)
    for (_, side), row in zip(batches, _numbers(batches), strict=True):
        assert side["label"].dtype == np.int32
        np.testing.assert_array_equal(side["label"], row % CLASSES)
        assert side["embedding"].dtype == np.float32
        assert not side["substituted"].any()
        for vector, number in zip(side["embedding"], row, strict=True):
            rows = _vectors(number).astype(np.float64)
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


def _labelled(i: int, label: int | None) -> bytes:
    return records.serialize(images.encode_png(np.zeros([9, 9, 3], np.uint8)), f"k{i}", (), label)


ROTTEN_RECORDS = {
    3: records.serialize(b"<html>", "not an image", (), 0),
    4: records.serialize(images.encode_png(np.zeros([9, 9, 3], np.uint8))[:60], "cut", (), 0),
    17: _record(17)[:60],
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
    damaged = _write(
        tmp_path,
        record=lambda i: ROTTEN_RECORDS.get(i, _record(i)),
        vector=lambda i: ROTTEN_VECTORS.get(i, _vectors(i)),
    )
    rotten = [*ROTTEN_RECORDS, *ROTTEN_VECTORS]
    expected, received = _take(directory, 8), _take(damaged, 8)
    places = np.isin(_numbers(expected), rotten)
    np.testing.assert_array_equal([side["substituted"] for _, side in received], places)
    substitutes = _numbers(received)[places]
    assert not set(substitutes) & set(rotten)
    assert len(set(substitutes)) > 5
    for sound, mended, replaced in zip(expected, received, places, strict=True):
        np.testing.assert_array_equal(sound[0][~replaced], mended[0][~replaced])
        for name in ("label", "embedding"):
            np.testing.assert_array_equal(sound[1][name][~replaced], mended[1][name][~replaced])
    _assert_equal(_take(damaged, 5, start_step=3), received[3:])


def test_substitutes_carry_their_own_side(tmp_path):
    directory = _write(tmp_path, record=lambda i: b"rotten" if i % 2 else _record(i))
    batches = _take(directory, 4)
    assert 0.3 < np.mean([side["substituted"] for _, side in batches]) < 0.7
    for (_, side), row in zip(batches, _numbers(batches), strict=True):
        assert not np.any(row % 2)
        np.testing.assert_array_equal(side["label"], row % CLASSES)


def _stream_error(stream) -> str:
    with pytest.raises(tf.errors.OpError) as error:
        list(stream.take(20))
    explained = shards.as_input_error(error.value)
    assert isinstance(explained, InputError)
    assert "\n" not in str(explained)
    return str(explained)


def test_nothing_but_rotten_records_is_said_in_one_line(tmp_path):
    directory = _write(tmp_path, record=lambda i: b"rotten")
    message = _stream_error(data.load(directory, "train", 10, _show))
    assert "expected usable records" in message
    assert directory in message


@pytest.mark.parametrize(
    "damage", ["cut at a record", "cut within a record", "flipped bit", "gone"]
)
@pytest.mark.parametrize("reader", ["load", "load_images"])
def test_a_shard_damaged_while_it_is_in_use_is_named(tmp_path, damage, reader):
    directory = _write(tmp_path, encoders=())
    if reader == "load":
        stream = data.load(directory, "train", 10, _show)
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
        (_write, {"batch_size": 46}, "expected 1 to 45.*received 46"),
        (_write, {"batch_size": 0}, "batch_size"),
        (_write, {"split": "test"}, "split.*'test'"),
        (_write, {"captions": "first"}, "captions.*'first'"),
        (_write, {"start_step": -1}, "start_step"),
        (_write, {"shuffle_window": 0}, "shuffle_window"),
        (_write, {"seed": 2**63}, "seed"),
        (_write, {"embedding": "f"}, "embedding.*'f'"),
        (lambda path: _write(path, encoders=("one", "two")), {}, "name one of one, two"),
        (lambda path: _write(path, encoders=()), {"embedding": "e"}, "no caption vectors"),
        (lambda path: _write(path, lengths=()), {}, "received none"),
        (lambda path: path / "nowhere", {}, "prepare it with"),
        (lambda path: [], {}, "received none"),
        (lambda path: _cut(_write(path), "train/00001.tfrecord"), {}, "train/00001.tfrecord"),
        (lambda path: _cut(_write(path), "embeddings/e/train/00002.tfrecord"), {}, "e/train/00002"),
        (lambda path: _unlinked(_write(path), "train/00000.tfrecord"), {}, "received no file"),
    ],
)
def test_what_cannot_be_opened_is_said_in_one_line(tmp_path, make, arguments, message):
    directory = make(tmp_path)
    arguments = {"split": "train", "batch_size": 10, "views": _show} | arguments
    with pytest.raises(InputError, match=message) as error:
        data.load(directory, **arguments)
    assert "\n" not in str(error.value)


def test_several_directories_are_one_stream(tmp_path):
    first = _write(tmp_path / "a", lengths=(20,))
    second = _write(tmp_path / "b", lengths=(15, 10), first=20)
    assert data.steps_per_epoch([first, second], "train", 10) == 4
    batches = _take([first, second], 4, batch_size=11)
    assert len(set(_numbers(batches).ravel())) == 44
    for (_, side), row in zip(batches, _numbers(batches), strict=True):
        np.testing.assert_array_equal(side["label"], row % CLASSES)
    third = _write(tmp_path / "c", first=45, lengths=(5,), class_names=("another",))
    assert "label" not in _take([first, third], 1)[0][1]
    other = _write(tmp_path / "d", lengths=(5,), encoders=("f",))
    with pytest.raises(InputError, match="same text encoder"):
        data.load([first, other], "train", 10, _show)


def test_without_vectors_and_labels_the_side_has_none(tmp_path):
    directory = _write(tmp_path, encoders=(), class_names=None)
    assert set(_take(directory, 1)[0][1]) == {"substituted"}


def test_side_information_is_that_of_the_first_batch(directory):
    for captions, seed in (("draw", 0), ("mean", 3)):
        given = {"captions": captions, "seed": seed}
        side = data.side_information(directory, "train", limit=10, **given)
        expected = _take(directory, 1, **given)[0][1]
        assert set(side) == {"label", "embedding"}
        for name, values in side.items():
            np.testing.assert_array_equal(values, expected[name])
    everything = data.side_information(directory, "train")
    assert sorted(everything["label"]) == sorted(i % CLASSES for i in range(COUNT))
    assert len(data.side_information(directory, "train", limit=1000)["embedding"]) == COUNT


def test_images_for_evaluation_come_once_and_in_order(tmp_path):
    rotten = {0, 21, 22, 44}
    directory = _write(
        tmp_path, (300, 40), record=lambda i: b"rotten" if i in rotten else _record(i)
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
    means = np.array([_vectors(i).astype(np.float32).sum(0) for i in sound])
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(whole["embedding"] * lengths, means, atol=1e-5)
    some = list(data.load_images(directory, "train", 50, 8, limit=30).as_numpy_iterator())
    assert "embedding" not in some[0]
    assert some[0]["key"].tolist() == [f"key{i}".encode() for i in sound[:27]]


def test_replicas_share_the_batch(directory):
    """DATA sharding: the parts of two replicas make up the batch of one."""
    stream = data.load(directory, "train", 10, _show)
    policy = stream.options().experimental_distribute.auto_shard_policy
    assert policy == tf.data.experimental.AutoShardPolicy.DATA
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    distributed = iter(strategy.experimental_distribute_dataset(stream))
    for expected, _ in _take(directory, 2):
        parts = strategy.experimental_local_results(next(distributed)[0])
        np.testing.assert_array_equal(np.concatenate(parts), expected)
