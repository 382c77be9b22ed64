"""Retrieval on made images whose captions name their colour, against loops."""

import json

import numpy as np
import pytest
from helpers import tiny_data
from helpers.plain_encoders import mean_color

from xsample_tf.arrays import unit_rows
from xsample_tf.data import image_files
from xsample_tf.errors import InputError
from xsample_tf.evaluation import Settings, run_tasks, table
from xsample_tf.evaluation.images import karpathy
from xsample_tf.evaluation.ranking import pair_ranks, pair_recall


class Captions:
    """A text encoder that knows which of the six colours a caption names."""

    name, handle, size = "colors", "colors", 6

    def __call__(self, captions):
        vectors = np.zeros((len(captions), 6), np.float32)
        for row, caption in enumerate(captions):
            found = [word for word in caption.split() if word.isdigit()]
            vectors[row, int(found[-1]) if found else 0] = 1
        return vectors


def embed(texts):
    """Texts to where mean_color puts the colours that they name."""
    return Captions()(texts) @ (tiny_data.COLORS / 255 - 0.5).astype(np.float32)


def write(directory, colors=range(6), extra=(), dataset="made", coco=False):
    """A JSON of Karpathy's form with a picture of each colour, and its images' folder."""
    images, entries = directory / "images", []
    images.mkdir(parents=True)
    for place, color in enumerate(colors):
        pixels = np.broadcast_to(tiny_data.COLORS[color], (20, 24, 3)).astype(np.uint8)
        (images / f"{place}.png").write_bytes(image_files.encode_png(pixels))
        words = [f"this is {color}", f"it is {color}"] + ["a third 0"] * (place == 0)
        entries.append(
            {
                "filename": f"{place}.png",
                "split": "test",
                "sentences": [{"raw": text, "tokens": text.split()} for text in words],
            }
            | ({"filepath": "val2014"} if coco else {})
        )
    entries.append({"filename": "none.png", "split": "train", "sentences": [{"raw": "x"}]})
    path = directory / f"dataset_{dataset}.json"
    path.write_text(json.dumps({"dataset": dataset, "images": entries + list(extra)}))
    return {"retrieval_json": str(path), "retrieval_images": str(images)}


def run(data_dir, texts=None, encoder=None, baseline=None, **values):
    settings = Settings(
        data_dir,
        image_size=16,
        embed_texts=texts,
        embedding=encoder,
        values=values,
        log=lambda line: None,
    )
    return run_tasks(mean_color, ["retrieval"], settings, baseline)


def test_ranks_are_those_of_loops_with_ties_and_images_without_captions():
    random = np.random.default_rng(0)
    own = np.sort(random.integers(0, 28, 100))
    own = own[random.permutation(100)]
    texts = unit_rows(random.integers(-1, 2, (100, 3)).astype(np.float32) + 0.0)
    images = unit_rows(random.integers(-1, 2, (30, 3)).astype(np.float32))
    text_ranks, image_ranks = pair_ranks(texts, own, images)
    cosines = texts @ images.T
    for caption in range(100):
        right = cosines[caption, own[caption]]
        assert text_ranks[caption] == sum(one >= right for one in cosines[caption])
    for image in range(30):
        mine = [c for c in range(100) if own[c] == image]
        if not mine:
            assert image_ranks[image] == 0
            continue
        best = max(cosines[c, image] for c in mine)
        others = [c for c in range(100) if own[c] != image and cosines[c, image] >= best]
        assert image_ranks[image] == 1 + len(others)
    by_text, by_image = pair_recall(texts, own, images)
    assert by_text[5].value == pytest.approx(np.mean(text_ranks <= 5))
    assert by_image[5].value == pytest.approx(np.mean(image_ranks[np.unique(own)] <= 5))
    for found in (by_text[5], by_image[5]):
        assert np.mean(found.per_image) == pytest.approx(found.value)
        np.testing.assert_array_equal(found.rows, np.unique(own))


def test_chance_is_that_of_a_random_order():
    random, hits = np.random.default_rng(1), []
    own = np.repeat(np.arange(4), [1, 2, 5, 2])
    for _ in range(4000):
        first = own[random.permutation(10)[:5]]
        hits.append(np.mean([image in first for image in range(4)]))
    vectors = np.eye(10, dtype=np.float32)
    by_text, by_image = pair_recall(vectors, own, vectors[:4])
    assert by_image[5].chance == pytest.approx(np.mean(hits), abs=0.01)
    assert by_text[1].chance == 1 / 4 and by_text[5].chance == 1


def test_a_model_of_texts_is_measured_by_its_towers_and_by_the_map(data_dir, tmp_path):
    values = write(tmp_path)
    found = run(data_dir, embed, Captions(), mean_color, **values)
    scores = {key.partition("/")[2]: one for key, one in found.scores["trained"].items()}
    # 12 captions name their image's colour; the third of image 0 does too.
    for way in ("tower", "map"):
        assert scores[f"{way}_text_recall_at_1"].value == 1
        assert scores[f"{way}_image_recall_at_1"].value == 1
    assert {key for key in found.scores["untrained"] if "tower" in key} == set()
    assert found.scores["untrained"]["retrieval/map_text_recall_at_1"].value == 1
    meta = found.meta["tasks"]["retrieval"]
    assert (meta["images"], meta["captions"]) == (6, 13)
    text = table(found.as_dict())
    assert "retrieval: text to image recall@1 by the towers" in text
    assert "retrieval: image to text recall@10 by a linear map" in text


def test_captions_of_another_image_are_wrong(data_dir, tmp_path):
    # Image 0 has the second colour, image 1 the first, and each the other's caption.
    values = write(tmp_path, (0, 1, 2))
    path = tmp_path / "dataset_made.json"
    content = json.loads(path.read_text())
    first, second = content["images"][:2]
    first["sentences"], second["sentences"] = second["sentences"], first["sentences"][:2]
    path.write_text(json.dumps(content))
    scores = run(None, embed, **values).scores["trained"]
    assert scores["retrieval/tower_text_recall_at_1"].value == pytest.approx(2 / 6)
    assert scores["retrieval/tower_image_recall_at_1"].value == pytest.approx(1 / 3)


def test_val_of_a_data_directory_needs_no_other_files(data_dir):
    scores = run(data_dir).scores["trained"]
    # Of 8 images of a colour each has a caption vector with noise of its own.
    assert scores["retrieval/map_text_recall_at_10"].value > 0.9
    assert scores["retrieval/map_image_recall_at_10"].per_image.shape == (48,)
    assert not [name for name in scores if "tower" in name]


def test_an_image_model_without_captions_is_told_what_to_do(bare_dir, tmp_path):
    values = write(tmp_path)
    for directory in (None, bare_dir):
        with pytest.raises(InputError, match="a model that embeds texts, or .*--text_encoder"):
            run(directory, **values)
    with pytest.raises(InputError, match="--retrieval_json with --retrieval_images, or --data_dir"):
        run(None)
    # The towers do without the map, and the report says so.
    found = run(None, embed, **values)
    assert "no --data_dir" in found.meta["left_out"]["retrieval: recall by a linear map"]


def test_texts_of_another_length_are_left_out_with_the_reason(data_dir, tmp_path):
    found = run(data_dir, Captions(), Captions(), **write(tmp_path))
    assert not [name for name in found.scores["trained"] if "tower" in name]
    reason = found.meta["left_out"]["retrieval: recall by the towers"]
    assert reason.startswith("texts are vectors of 6, images of 3; --output_name")


def test_another_number_than_the_data_sets_is_refused_or_marked(data_dir, tmp_path, monkeypatch):
    values = write(tmp_path / "a", dataset="flickr30k")
    with pytest.raises(InputError, match="expected 1,000 images, received 6 in .*allow_partial"):
        run(data_dir, embed, **values)
    left_out = run(None, embed, **values, allow_partial=True).meta["left_out"]
    assert "6 images instead of 1,000" in left_out["retrieval: retrieval_json is partial"]
    assert "13 captions instead of 5,000" in " ".join(left_out.values())
    monkeypatch.setitem(karpathy.COUNTS, "coco", (6, 13))
    values = write(tmp_path / "b", dataset="coco", coco=True)
    assert "partial" not in " ".join(run(None, embed, **values).meta["left_out"])
    (tmp_path / "b" / "images" / "3.png").unlink()
    with pytest.raises(InputError, match="retrieval_images: expected 6 images, received 5"):
        run(None, embed, **values)
    found = run(None, embed, **values, allow_partial=True)
    assert found.meta["tasks"]["retrieval"]["captions"] == 11


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "cannot be read"),
        ("{}", "expected a list 'images'"),
        ('{"images": [{"filename": "a"}]}', "'sentences' with 'raw' of each image"),
        ('{"images": [{"filename": "a", "split": "dev", "sentences": []}]}', "not dev"),
    ],
)
def test_another_layout_is_told_apart(tmp_path, content, message):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        run(None, embed, retrieval_json=str(path), retrieval_images=str(tmp_path))
    values = write(tmp_path / "whole")
    with pytest.raises(InputError, match="retrieval_images, received 'none'"):
        run(None, embed, retrieval_json=values["retrieval_json"])
