"""Archives, folders and hub data sets as people hold them: read right, counted, or refused."""

import json
import os

import numpy as np
import pytest
from helpers import web_archives as made

from xsample_tf.data import image_files, sources
from xsample_tf.errors import InputError

COUNT = 4


def opened(spec: str, **options):
    own = options.pop("own", {})
    return sources.open_source(spec, sources.Options(**options, own=own))


def samples_of(source) -> list[sources.Sample]:
    return [s for split, count in source.counts.items() for s in source.samples(split, 0, count)]


def tar(tmp_path, *members, name="0.tar") -> str:
    return f"webdataset:{made.write_tar(tmp_path / name, list(members))}"


def members(kind="txt", form=lambda i: f"caption {i}".encode(), image="jpg"):
    pairs = [[(f"{i}.{image}", made.jpeg(i)), (f"{i}.{kind}", form(i))] for i in range(COUNT)]
    return [member for pair in pairs for member in pair]


# --- captions -------------------------------------------------------------------------------


def test_lines_are_captions_where_all_texts_have_as_many(tmp_path):
    text = b"first\nsecond\nthird\n"
    where = tar(tmp_path, *members(form=lambda i: text))
    source = opened(where)
    assert [s.captions for s in samples_of(source)] == [("first", "second", "third")] * COUNT
    assert any("3 lines each, a caption a line" in line for line in source.understanding())
    joined = opened(where, own={"caption_lines": "join"})
    assert [len(s.captions) for s in samples_of(joined)] == [1] * COUNT
    uneven = tar(tmp_path, *members(form=lambda i: b"a\n" * (i + 1)), name="uneven.tar")
    assert [len(s.captions) for s in samples_of(opened(uneven))] == [1] * COUNT
    split = opened(uneven, own={"caption_lines": "split"})
    assert [len(s.captions) for s in samples_of(split)] == [1, 2, 3, 4]
    with pytest.raises(InputError, match="caption_lines: received 'lines'"):
        opened(where, own={"caption_lines": "lines"})


@pytest.mark.parametrize("kind", ["txt", "caption", "text", "TXT"])
def test_a_mark_before_utf_8_is_no_part_of_a_caption(tmp_path, kind):
    where = tar(tmp_path, *members(kind, lambda i: f"\ufeffcaption {i}".encode()))
    assert [s.captions for s in samples_of(opened(where))] == [(f"caption {i}",) for i in range(4)]


def test_captions_in_json(tmp_path):
    def fields(i):
        return b'{"caption": NaN}' if i % 2 else json.dumps({"caption": f"caption {i}"}).encode()

    found = samples_of(opened(tar(tmp_path, *members("json", fields))))
    assert [s.captions for s in found] == [("caption 0",), (), ("caption 2",), ()]

    def nested(i):
        return json.dumps({"caption": {"en": f"caption {i}", "de": "x"}, "n": i}).encode()

    where = tar(tmp_path, *members("json", nested), name="nested.tar")
    with pytest.raises(InputError, match="a dict of en, de; name a field: --caption_column=capt"):
        opened(where)
    for path in ("caption.en", "json.caption.en"):
        found = samples_of(opened(where, caption_columns=(path,)))
        assert [s.captions for s in found] == [(f"caption {i}",) for i in range(COUNT)]
    with pytest.raises(InputError, match="received a number"):
        opened(where, caption_columns=("n",))


# --- members --------------------------------------------------------------------------------


def test_every_member_is_taken_or_counted(tmp_path):
    listed = members()[:4] + members(image="jfif")[4:]
    listed += [("5.npy", b"x"), ("6.gif", made.jpeg(6)), ("6.txt", b"six"), (".hidden.txt", b"")]
    listed += [(".cache/7.jpg", b""), ("0.png", made.jpeg(8)), ("8.txt", b"eight")]
    found = samples_of(opened(tar(tmp_path, *listed)))
    taken = {s.key.partition("/")[2] for s in found if not s.fault}
    assert taken == {"0", "1", "2", "3", "6"}
    faults = sorted((s.key.partition("/")[2], s.fault) for s in found if s.fault)
    assert faults == [("0", "second_image"), ("5", "unknown_member"), ("8", "missing_image")]


def test_members_with_and_without_a_dot_before_their_folder_belong_together(tmp_path):
    listed = [("./a/0.jpg", made.jpeg(0)), ("a/0.txt", b"zero")]
    (sample,) = samples_of(opened(tar(tmp_path, *listed)))
    assert (sample.key, sample.captions) == ("0.tar/a/0", ("zero",))


def test_names_of_archives_say_their_split(tmp_path):
    for name in ("train-0.tar", "train-1.tar", "test-0.tar"):
        tar(tmp_path, *members(), name=name)
    source = opened(f"webdataset:{tmp_path}/*.tar")
    assert (source.counts, source.rejected) == ({"all": 8}, {"split_test": 4})
    assert any("split 'test' is left out" in line for line in source.understanding())
    source = opened(f"webdataset:{tmp_path}/*.tar", validation_split="test")
    assert source.counts == {"train": 8, "val": 4}
    assert {s.key.split(".")[0] for s in source.samples("val", 0, 4)} == {"test-0"}
    tar(tmp_path, *members(), name="valid-0.tar")
    assert opened(f"webdataset:{tmp_path}/*.tar").counts == {"train": 8, "val": 4}


# --- folders --------------------------------------------------------------------------------


def put(folder, *names):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = f"caption of {path.stem}".encode()
        path.write_bytes(content if path.suffix in (".txt", ".caption") else made.jpeg(number))


def test_split_folders_and_hidden_ones(tmp_path):
    put(tmp_path, *[f"{s}/{c}/0.jpg" for s in ("train", "valid", "test") for c in ("cat", "dog")])
    put(tmp_path, ".cache/huggingface/0.jpg", "README.md", "train/.cache/0.jpg")
    source = opened(f"folder:{tmp_path}")
    assert source.classes.names == ("cat", "dog")
    assert (source.counts, source.rejected) == ({"train": 2, "val": 2}, {"split_test": 2})
    put(tmp_path, "extra/cat/0.jpg")
    with pytest.raises(InputError, match="and beside them extra; move them away"):
        opened(f"folder:{tmp_path}")


def test_test_images_never_train_or_validate_unasked(tmp_path):
    put(tmp_path, *[f"{s}/{c}/0.jpg" for s in ("train", "test") for c in ("cat", "dog")])
    source = opened(f"folder:{tmp_path}")
    assert (source.counts, source.rejected) == ({"all": 2}, {"split_test": 2})
    assert any("--validation_split=test" in line for line in source.understanding())
    with pytest.raises(InputError, match="a split of the source, test or train, received 'val'"):
        opened(f"folder:{tmp_path}", validation_split="val")


def test_a_circle_of_links_ends(tmp_path):
    put(tmp_path, "cat/0.jpg", "dog/1.jpg")
    os.symlink(tmp_path / "cat", tmp_path / "cat" / "again")
    assert opened(f"folder:{tmp_path}").counts == {"all": 2}


def test_pairs_of_images_and_texts(tmp_path):
    put(tmp_path, "0.jpg", "0.txt", "deep/er/1.png", "deep/er/1.caption", "2.jpg", "notes.txt")
    source = opened(f"pairs:{tmp_path}")
    found = {s.key: (s.captions, s.fault) for s in samples_of(source)}
    assert found == {
        "0": (("caption of 0",), ""),
        "deep/er/1": (("caption of 1",), ""),
        "2": ((), ""),
        "notes": ((), "missing_image"),
    }
    first = next(s for s in samples_of(source) if s.key == "0")
    assert source.read(first.image) == made.jpeg(0)
    assert source.default_resize == 0
    with pytest.raises(InputError, match=r"captions beside them go through pairs:"):
        opened(f"folder:{tmp_path / 'deep' / 'er'}")


# --- the hub --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A data set in the forms of the `datasets` package: saved, and as Parquet files."""
    datasets = pytest.importorskip("datasets")

    def part(numbers):
        rows = {
            "image": [{"bytes": made.jpeg(i), "path": None} for i in numbers],
            "caption": [[f"caption {i}", "another"] for i in numbers],
            "kind": [i % 2 for i in numbers],
            "score": [i / 2 for i in numbers],
        }
        features = {
            "image": datasets.Image(),
            "caption": datasets.Sequence(datasets.Value("string")),
            "kind": datasets.ClassLabel(names=["even", "odd"]),
            "score": datasets.Value("float32"),
        }
        return datasets.Dataset.from_dict(rows, features=datasets.Features(features))

    folder = tmp_path_factory.mktemp("hub")
    parts = datasets.DatasetDict({"train": part(range(6)), "test": part(range(6, 8))})
    parts.save_to_disk(folder / "saved")
    (folder / "parquet" / "data").mkdir(parents=True)
    for name, one in parts.items():
        one.to_parquet(folder / "parquet" / "data" / f"{name}-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("form", ["saved", "parquet"])
def test_a_data_set_of_the_hub(hub, form):
    source = opened(f"hf:{hub}/{form}", feature_columns=("score",))
    assert (source.counts, source.rejected) == ({"all": 6}, {"split_test": 2})
    assert source.classes.names == ("even", "odd")
    for i, sample in enumerate(samples_of(source)):
        assert (sample.captions, sample.label) == ((f"caption {i}", "another"), i % 2)
        assert source.read(sample.image) == made.jpeg(i)
        assert sample.numbers == {"score": i / 2}
    # A block in the middle, after a later one was read.
    assert [s.captions[0] for s in source.samples("all", 2, 4)] == ["caption 2", "caption 3"]
    assert opened(f"hf:{hub}/{form}", validation_split="test").counts == {"train": 6, "val": 2}
    with pytest.raises(InputError, match="datasets cannot open '.*nowhere'"):
        opened(f"hf:{hub}/nowhere")


# --- images ---------------------------------------------------------------------------------


def test_an_image_too_long_for_jpeg_is_a_reject(tmp_path):
    from PIL import Image

    Image.new("RGB", (300, 66_000)).save(tmp_path / "long.png")
    content = (tmp_path / "long.png").read_bytes()
    with pytest.raises(image_files.ImageError, match="too_long_for_jpeg"):
        image_files.normalize(content, image_files.ImageRules(resize=299))
    assert image_files.normalize(content) == (content, False)


def test_a_long_text_beside_the_pixels_costs_no_image():
    from PIL import Image, PngImagePlugin

    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    note = PngImagePlugin.PngInfo()
    note.add_text("note", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    import io

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=note)
    stored, encoded_again = image_files.normalize(buffer.getvalue())
    assert encoded_again
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(stored))), pixels)


@pytest.mark.parametrize(
    ("brand", "reason"), [(b"heic", "needs_pillow_heif"), (b"zzzz", "not_an_image")]
)
def test_formats_that_need_a_plugin_are_named(brand, reason, monkeypatch):
    monkeypatch.setattr(image_files, "_register_plugins", lambda: None)
    content = b"\0\0\0\x18ftyp" + brand + b"\0" * 64
    with pytest.raises(image_files.ImageError, match=reason):
        image_files.normalize(content)
