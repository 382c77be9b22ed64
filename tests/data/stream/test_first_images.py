"""Captions and thumbnails of the stream's first images."""

import io
import json

import numpy as np
import pytest
from helpers.preparing import Encoder, write_png
from PIL import Image

from xsample_tf import data
from xsample_tf.errors import InputError


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Twelve images with two captions each."""
    root = tmp_path_factory.mktemp("images")
    rows = []
    for i in range(12):
        write_png(root / f"{i}.png", 20 * i)
        captions = [f"first {i}", f"second {i}"]
        rows.append(json.dumps({"image": f"{i}.png", "captions": captions}))
    (root / "t.jsonl").write_text("\n".join(rows))
    options = data.SourceOptions(caption_columns=("captions",), validation_fraction=0)
    data.prepare(
        f"table:{root}/t.jsonl", root / "data", [Encoder()], options=options, log=lambda _: None
    )
    return str(root / "data")


def side_of(directory, **arguments):
    return data.side_information(directory, "train", limit=12, texts=True, **arguments)


@pytest.mark.parametrize("seed", [0, 5])
def test_the_caption_is_the_one_whose_vector_is_drawn(directory, seed):
    side = side_of(directory, seed=seed)
    captions = [caption.decode() for caption in side["caption"]]
    for caption, vector in zip(captions, side["embedding"], strict=True):
        np.testing.assert_allclose(vector, Encoder.vector(caption), atol=1e-3)
    assert 0 < sum(caption.startswith("first") for caption in captions) < 12
    assert set(side) == set(data.side_information(directory, "train")) | {"key", "caption"}
    assert len(set(side["key"])) == 12


def test_the_mean_has_all_captions(directory):
    found = {caption.decode() for caption in side_of(directory, captions="mean")["caption"]}
    assert found == {f"first {i}\nsecond {i}" for i in range(12)}


def test_thumbnails_are_of_the_images_that_are_asked_for(directory):
    side = side_of(directory, seed=3)
    keys = side["key"][[0, 7]]
    found = data.thumbnails(directory, "train", [*keys, b"nothing"], 16, limit=12, seed=3)
    assert set(found) == set(keys)
    for key, jpeg in found.items():
        pixels = np.asarray(Image.open(io.BytesIO(jpeg)))
        number = int(key.decode().split(".")[0].split("/")[-1])
        assert pixels.shape == (16, 16, 3)
        assert np.median(pixels) == pytest.approx(20 * number, abs=3)
    with pytest.raises(InputError, match="limit: expected at least 1 image"):
        data.thumbnails(directory, "train", keys, 16, limit=0)
