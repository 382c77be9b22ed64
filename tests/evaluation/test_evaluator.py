import json
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny_data
from PIL import Image

from xsample_tf import evaluation
from xsample_tf.data import image_files, manifest, records
from xsample_tf.errors import InputError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> str:
    return tiny_data.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def bare_dir(tmp_path_factory) -> str:
    return tiny_data.write(tmp_path_factory.mktemp("bare"), labelled=False, captioned=False)


def mean_color(batch) -> np.ndarray:
    """An encoder that knows the answer."""
    return np.mean(np.asarray(batch), axis=(1, 2)) - 0.5


def blind(batch) -> np.ndarray:
    return np.ones((len(batch), 3), np.float32)


def small_encoder() -> keras.Model:
    image = keras.Input([16, 16, 3])
    scaled = keras.layers.Normalization(mean=[0.4] * 3, variance=[0.1] * 3)(image)
    features = keras.layers.Conv2D(6, 3, activation="relu")(scaled)
    features = keras.layers.BatchNormalization()(features)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(features))


def test_an_encoder_that_knows_beats_one_that_does_not(data_dir):
    results = evaluation.evaluate(mean_color, data_dir, baseline=blind, image_size=16)
    trained, untrained, chance = (results[k] for k in ("trained", "untrained", "chance"))
    assert trained["knn_top1"] == trained["linear_top1"] == trained["knn_top5"] == 1
    assert untrained["linear_top1"] <= 0.2
    assert chance["knn_top1"] == pytest.approx(1 / 6) and chance["linear_top5"] == pytest.approx(
        5 / 6
    )
    assert trained["kl"] < untrained["kl"] == pytest.approx(chance["kl"], rel=1e-5)
    assert trained["caption_cosine"] > 0.6 and trained["caption_cosine_ratio"] > 3
    assert chance["caption_cosine_ratio"] == 1
    assert trained["recall_at_10"] > 0.8 and chance["recall_at_10"] == pytest.approx(10 / 48)
    assert trained["rankme"] > 2 > 1.01 > untrained["rankme"]
    assert results["meta"]["images"] == {"train": 96, "val": 48}
    assert set(trained) == set(untrained) == set(chance)
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_with_a_projector_the_kl_alone_is_of_what_it_gives(data_dir):
    def with_doubt(batch) -> np.ndarray:
        return np.concatenate([mean_color(batch), np.full((len(batch), 1), 9.0)], axis=1)

    projector = keras.Sequential([keras.Input([4]), keras.layers.Dense(3, use_bias=False)])
    projector.set_weights([np.eye(4, 3)])
    plain, projected, known = (
        evaluation.evaluate(encoder, data_dir, image_size=16, **arguments)
        for encoder, arguments in (
            (with_doubt, {}),
            (with_doubt, {"projector": projector, "baseline": with_doubt}),
            (mean_color, {}),
        )
    )
    assert projected["trained"]["kl"] == pytest.approx(known["trained"]["kl"], rel=1e-4)
    assert projected["trained"]["kl"] < projected["untrained"]["kl"]
    assert projected["trained"] | {"kl": 0} == plain["trained"] | {"kl": 0}
    assert plain["meta"]["kl_of"] == "embedding" and projected["meta"]["kl_of"] == "projection"
    assert "KL of the projection" in evaluation.table(projected)
    assert "KL of the embedding" in evaluation.markdown(plain)


def test_batch_size_changes_no_figure(data_dir):
    encoder = small_encoder()
    results = [
        evaluation.evaluate(encoder, data_dir, batch_size=size)["trained"] for size in (7, 48)
    ]
    assert results[0] == pytest.approx(results[1], rel=1e-4)


def test_without_labels_or_captions_what_is_left_is_measured(bare_dir, tmp_path):
    assert set(evaluation.evaluate(mean_color, bare_dir, image_size=16)["trained"]) == {"rankme"}
    captioned = tiny_data.write(tmp_path, labelled=False)
    scores = evaluation.evaluate(mean_color, captioned, image_size=16)["trained"]
    assert "kl" in scores and "knn_top1" not in scores
    with pytest.raises(InputError, match="knn need labels.*KL, caption cosine.*RankMe"):
        evaluation.evaluate(mean_color, captioned, probes=["knn"], image_size=16)


def test_probes_are_chosen(data_dir):
    scores = evaluation.evaluate(mean_color, data_dir, probes=["knn"], image_size=16)["trained"]
    assert "knn_top1" in scores and "linear_top1" not in scores
    scores = evaluation.evaluate(mean_color, data_dir, probes=[], image_size=16)["trained"]
    assert "knn_top1" not in scores and "kl" in scores


def test_limit(data_dir):
    meta = evaluation.evaluate(mean_color, data_dir, image_size=16, limit=30)["meta"]
    assert meta["images"] == {"train": 30, "val": 30}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probes": ["knnn"]}, "unknown probe 'knnn'; did you mean 'knn'"),
        ({"embedding": "tow"}, "no caption vectors 'tow'.*did you mean 'toy'"),
        ({"data_dir": "nowhere"}, "no dataset.json in nowhere"),
        ({"image_size": None}, "image_size: expected the side"),
        ({"encoder": lambda x: np.full((len(x), 2), np.nan)}, "finite.*NaN.*weights have diverged"),
        ({"encoder": lambda x: np.asarray(x)}, r"expected embeddings \[\d+, D\]"),
    ],
)
def test_bad_input_is_one_clear_line(data_dir, arguments, message):
    given = {"encoder": mean_color, "data_dir": data_dir, "image_size": 16} | arguments
    with pytest.raises(InputError, match=message) as caught:
        evaluation.evaluate(**given)
    assert "\n" not in str(caught.value)


def test_a_size_that_the_encoder_does_not_take_is_an_error(data_dir):
    with pytest.raises(InputError, match="image_size: expected 16, received 32"):
        evaluation.evaluate(small_encoder(), data_dir, image_size=32)


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


def test_untrained_is_the_same_architecture_with_fresh_weights_of_the_seed():
    encoder = small_encoder()
    state = random.getstate()
    first, again, other = (evaluation.untrained(encoder, seed) for seed in (0, 0, 1))
    assert random.getstate() == state
    kernel = [m.layers[2].get_weights()[0] for m in (encoder, first, again, other)]
    np.testing.assert_array_equal(kernel[1], kernel[2])
    assert np.abs(kernel[1] - kernel[0]).max() > 0.01 < np.abs(kernel[1] - kernel[3]).max()
    assert first.count_params() == encoder.count_params()


def test_untrained_keeps_an_adapted_normalisation():
    normalization = keras.layers.Normalization()
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (50, 4, 4, 3)))
    image = keras.Input([4, 4, 3])
    pooled = keras.layers.GlobalAveragePooling2D()(normalization(image))
    encoder = keras.Model(image, pooled)
    batch = tf.random.stateless_uniform([2, 4, 4, 3], [1, 2])
    np.testing.assert_allclose(evaluation.untrained(encoder)(batch), encoder(batch), rtol=1e-6)


def test_a_model_that_cannot_be_rebuilt_has_no_baseline():
    class Opaque(keras.Model):
        def __init__(self, something):
            super().__init__()
            self.something = something

        def call(self, x):
            return keras.ops.mean(x, (1, 2))

    with pytest.raises(InputError, match="rebuilt from its configuration.*Opaque") as caught:
        evaluation.untrained(Opaque(object()))
    assert "\n" not in str(caught.value)


def test_reports_show_every_figure_beside_untrained_and_chance(data_dir):
    results = evaluation.evaluate(mean_color, data_dir, baseline=blind, image_size=16)
    lines = evaluation.table(results).splitlines()
    assert lines[0].split() == ["measure", "trained", "untrained", "chance"]
    assert len({len(line) for line in lines}) == 1 and len(lines) == 12
    assert lines[1].startswith("kNN top-1 accuracy") and lines[1].split()[-3] == "100.0%"
    text = evaluation.markdown(results)
    assert "| kNN top-1 accuracy | 100.0% |" in text and data_dir in text
    summary = evaluation.summary(results, 1200)
    assert summary.startswith("evaluation at step 1,200: kNN 100.0%") and "\n" not in summary


def test_the_sheet_shows_each_query_beside_its_neighbours(data_dir, bare_dir, tmp_path):
    path = tmp_path / "new" / "sheet.png"
    evaluation.neighbour_sheet(mean_color, data_dir, path, 16, queries=3, neighbours=4)
    sheet = np.asarray(Image.open(path)).astype(int)
    assert sheet.shape[0] > 3 * 112 and sheet.shape[1] > 5 * 112
    for row in range(3):
        # Images of a class have one colour: a row's images agree.
        top = 8 + row * (sheet.shape[0] - 8) // 3
        cells = [sheet[top + 20 : top + 90, 8 + 120 * i + 20 : 8 + 120 * i + 90] for i in range(5)]
        means = np.array([cell.mean(axis=(0, 1)) for cell in cells])
        assert np.ptp(means, axis=0).max() < 15
    evaluation.neighbour_sheet(mean_color, bare_dir, path, 16)
    with pytest.raises(InputError, match="expected 2 images or more"):
        evaluation.neighbour_sheet(mean_color, data_dir, path, 16, limit=1)
