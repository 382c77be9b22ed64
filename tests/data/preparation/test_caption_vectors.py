"""Captions become vectors beside the records: by which encoder, once each, and after a kill."""

import json
import types

import numpy as np
import pytest
from helpers.preparing import Encoder, all_bytes, contents, quiet, run, table, write_png

from xsample_tf import data, progress
from xsample_tf.data import views
from xsample_tf.data.preparation import caption_vectors
from xsample_tf.errors import InputError


def test_another_encoder_adds_its_vectors(folders, tmp_path):
    first = run(folders, tmp_path / "out", [Encoder()])
    other = Encoder("other")
    dataset = caption_vectors.add_embeddings(tmp_path / "out", [other], log=quiet)
    assert dataset.encoders.keys() == {"toy", "other"}
    assert dataset.encoder("toy") == first.encoder("toy")
    assert set(other.asked) == {
        *(f"a photo of a class {i}" for i in range(3)),
        caption_vectors.PROBE,
    }
    with pytest.raises(InputError, match="name one of other, toy"):
        dataset.encoder(None)


def test_another_encoder_takes_the_template_of_the_captions(folders, tmp_path):
    run(folders, tmp_path / "out", template="{}, photographed")
    with pytest.raises(InputError, match="expected '{}, photographed', of which"):
        caption_vectors.add_embeddings(tmp_path / "out", [Encoder()], template="a {}", log=quiet)
    dataset = caption_vectors.add_embeddings(tmp_path / "out", [Encoder()], log=quiet)
    assert dataset.encoder("toy").template == "{}, photographed"
    expected = Encoder.vector("class 1, photographed")
    np.testing.assert_allclose(dataset.class_embeddings()[1], expected, atol=1e-3)


def test_each_caption_is_encoded_once(folders, tmp_path):
    encoder = Encoder()
    run(folders, tmp_path / "out", [encoder], records_per_shard=8)
    assert len(encoder.asked) == len(set(encoder.asked)) == 3 + 1  # And the probe.


def test_a_large_shard_says_how_far_it_is(folders, tmp_path, monkeypatch):
    class Slow(Encoder):
        seconds = 0

        def __call__(self, captions):
            Slow.seconds += 20
            return super().__call__(captions)

    run(folders, tmp_path / "out", [Encoder()])
    monkeypatch.setattr(caption_vectors, "_CHUNK", 1)
    clock = types.SimpleNamespace(monotonic=lambda: Slow.seconds)
    monkeypatch.setattr(progress, "time", clock)
    lines = []
    caption_vectors.add_embeddings(tmp_path / "out", [Slow("slow")], log=lines.append)
    # The 58 images of train/ are one shard, with three captions.
    assert lines[:2] == [
        "caption vectors of slow: 19 of 60 images, 0.9/s",
        "caption vectors of slow: 58 of 60 images, 1.0/s",
    ]


def test_encoders_of_one_name_are_told_apart_by_their_weights(folders, tmp_path):
    class Other(Encoder):
        @staticmethod
        def vector(caption):
            return -Encoder.vector(caption)

    for name, encoder in (("a", Encoder()), ("b", Encoder(handle="moved")), ("c", Other())):
        run(folders, tmp_path / name, [encoder])

    def load(*names):
        return data.load([tmp_path / name for name in names], "train", 8, views.SimCLR(8))

    load("a", "b")
    with pytest.raises(InputError, match="other weights, from toy; add"):
        load("a", "c")
    # What an older version wrote says nothing of the weights.
    manifest = tmp_path / "b" / "dataset.json"
    content = json.loads(manifest.read_text())
    del content["encoders"]["toy"]["probe"]
    manifest.write_text(json.dumps(content))
    load("b", "c")
    with pytest.raises(InputError, match="other weights"):
        load("b", "a", "c")


def test_an_encoder_that_was_killed_goes_on(tmp_path):
    for i in range(40):
        write_png(tmp_path / f"{i}.png", i)
    source = table(tmp_path, [(f"{i}.png", f"caption {i % 25}") for i in range(40)])
    run(source, tmp_path / "whole", [Encoder()], records_per_shard=8)
    run(source, tmp_path / "out", records_per_shard=8)

    class Killed(Encoder):
        def __call__(self, captions):
            if len(self.asked) > 15:
                raise KeyboardInterrupt
            return super().__call__(captions)

    killed, encoder = Killed(), Encoder()
    with pytest.raises(KeyboardInterrupt):
        caption_vectors.add_embeddings(tmp_path / "out", [killed], log=quiet)
    caption_vectors.add_embeddings(tmp_path / "out", [encoder], log=quiet)
    assert not set(killed.asked) & set(encoder.asked)
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")


def test_a_name_that_another_encoder_has_is_an_error(folders, tmp_path):
    run(folders, tmp_path / "out", [Encoder()])
    other = Encoder(handle="elsewhere")
    smaller = Encoder()
    smaller.size = 4
    with pytest.raises(InputError, match="of size 5 from 'toy', now size 4 from 'toy'"):
        caption_vectors.add_embeddings(tmp_path / "out", [smaller], log=quiet)
    with pytest.raises(InputError, match="from 'toy', now size 5 from 'elsewhere'"):
        caption_vectors.add_embeddings(tmp_path / "out", [other], log=quiet)
    with pytest.raises(InputError, match="distinct names, received 'toy' twice"):
        caption_vectors.add_embeddings(tmp_path / "out", [Encoder(), Encoder()], log=quiet)
    with pytest.raises(InputError, match="distinct names, received 'toy' twice"):
        run(folders, tmp_path / "new", [Encoder(), Encoder()])
    assert not (tmp_path / "new").exists()
    dataset = caption_vectors.add_embeddings(tmp_path / "out", [other], overwrite=True, log=quiet)
    assert dataset.encoder("toy").handle == "elsewhere"


def test_vectors_of_the_wrong_shape_are_an_error(folders, tmp_path):
    encoder = Encoder()
    encoder.size = 6
    with pytest.raises(InputError, match=r"expected vectors \[3, 6\], received \[3, 5\]"):
        run(folders, tmp_path / "out", [encoder])


def test_images_alone_have_nothing_to_encode(tmp_path):
    write_png(tmp_path / "a.png", 1)
    source = table(tmp_path, [("a.png",)], ("image",))
    with pytest.raises(InputError, match="has no captions and no class names"):
        run(source, tmp_path / "never", [Encoder()])
    assert not (tmp_path / "never").exists()
    dataset = run(source, tmp_path / "out", options={"validation_fraction": 0})
    assert dataset.captions_per_image == 0
    with pytest.raises(InputError, match="no captions and no class names"):
        caption_vectors.add_embeddings(tmp_path / "out", [Encoder()], log=quiet)


def test_a_rotten_shard_is_one_line(folders, tmp_path):
    dataset = run(folders, tmp_path / "out")
    path = tmp_path / "out" / dataset.splits["train"][0].path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"00000\.tfrecord is corrupt"):
        caption_vectors.add_embeddings(tmp_path / "out", [Encoder()], log=quiet)


def test_vectors_that_are_zero_or_not_finite_relate_to_nothing(tmp_path):
    write_png(tmp_path / "a.png", 1)
    rows = [("a.png", "zero"), ("a.png", "not finite"), ("a.png", "fine")]
    dataset = run(
        table(tmp_path, rows), tmp_path / "out", [Encoder()], options={"validation_fraction": 0}
    )
    assert dataset.rejected == {"embedding_not_finite:toy": 1, "embedding_zero:toy": 1}
    vectors = contents(dataset)["train"]["a.png"]["toy"]
    assert not vectors[:2].any()
    np.testing.assert_allclose(dataset.encoder("toy").mean, vectors[2], atol=1e-6)
