"""Names of members in archives and of files in folders of pairs."""

import json
import os

import pytest
from helpers import web_archives as made

from xsample_tf.data import sources
from xsample_tf.errors import InputError

COUNT = 4


def opened(spec, **options):
    return sources.open_source(spec, sources.Options(**options))


def tar(tmp_path, *parts) -> str:
    """A tar of `COUNT` samples: each part is a pattern of a name, and the content by number."""
    members = [(name.format(i), content(i)) for i in range(COUNT) for name, content in parts]
    return f"webdataset:{made.write_tar(tmp_path / '0.tar', members)}"


def text(i: int) -> bytes:
    return f"caption number {i}".encode()


def captions(source) -> list[tuple[str, ...]]:
    found = [s for split, n in source.counts.items() for s in source.samples(split, 0, n)]
    for i, sample in enumerate(found):
        assert source.read(sample.image) == made.jpeg(i)
    return [sample.captions for sample in found]


RIGHT = [(f"caption number {i}",) for i in range(COUNT)]


@pytest.mark.parametrize(
    ("image", "caption"),
    [
        ("{}.jpeg", "{}.caption"),
        ("{}.image.jpg", "{}.caption.txt"),
        ("IMG{}.JPG", "IMG{}.TXT"),
        ("photo.{}.v1.jpg", "photo.{}.v1.txt"),
        ("a.b/c/{}.jpg", "./a.b/c/{}.txt"),
    ],
)
def test_images_and_texts_under_many_names(tmp_path, image, caption):
    source = opened(tar(tmp_path, (image, made.jpeg), (caption, text)))
    assert captions(source) == RIGHT
    ending = caption.rpartition(".")[2].lower()
    assert f"captions: members .{ending}" in source.understanding()


def test_masks_and_what_macos_adds_are_no_images(tmp_path):
    junk = ("._{}.jpg", lambda i: b"junk")
    seg = ("{}.seg.png", lambda i: made.jpeg(i + 50))
    mac = ("__MACOSX/{}.jpg", lambda i: made.jpeg(i + 90))
    source = opened(tar(tmp_path, ("{}.jpg", made.jpeg), ("{}.txt", text), junk, seg, mac))
    assert captions(source) == RIGHT
    assert source.counts == {"all": COUNT}


def test_several_images_of_a_key_are_told_with_their_names(tmp_path):
    where = tar(tmp_path, ("{}.0.jpg", made.jpeg), ("{}.1.jpg", made.jpeg), ("{}.txt", text))
    with pytest.raises(InputError, match=r"missing_image 4, such as .*0 with .0.jpg, .1.jpg, .txt"):
        opened(where)


def test_texts_that_are_lists(tmp_path):
    def both(i):
        return json.dumps([f"caption number {i}", "another"]).encode()

    source = opened(tar(tmp_path, ("{}.jpg", made.jpeg), ("{}.txt", both)))
    assert captions(source) == [(f"caption number {i}", "another") for i in range(COUNT)]
    assert any("texts are lists of captions" in line for line in source.understanding())


def test_captions_that_are_a_list_in_json(tmp_path):
    def both(i):
        return json.dumps([f"caption number {i}", "another"]).encode()

    source = opened(tar(tmp_path, ("{}.jpg", made.jpeg), ("{}.json", both)))
    assert captions(source) == [(f"caption number {i}", "another") for i in range(COUNT)]


def test_text_deep_in_json_is_named(tmp_path):
    def deep(i):
        return json.dumps({"meta": {"words": f"caption number {i}"}}).encode()

    where = tar(tmp_path, ("{}.jpg", made.jpeg), ("{}.json", deep))
    with pytest.raises(InputError, match="in 'meta.words'; name it with .*=meta.words"):
        opened(where)
    assert captions(opened(where, caption_columns=("meta.words",))) == RIGHT


def test_texts_in_utf_16(tmp_path):
    def utf16(i):
        return f"caption number {i}".encode("utf-16")

    assert captions(opened(tar(tmp_path, ("{}.jpg", made.jpeg), ("{}.txt", utf16)))) == RIGHT


def test_texts_that_are_not_utf_8_need_the_name_of_their_encoding(tmp_path):
    def latin(i):
        return f"Käfer {i}".encode("latin-1")

    where = tar(tmp_path, ("{}.jpg", made.jpeg), ("{}.txt", latin))
    with pytest.raises(InputError, match=r"UTF-8 in the \.txt members .*--encoding=cp1252"):
        opened(where)
    source = opened(where, own={"encoding": "cp1252"})
    assert captions(source) == [(f"Käfer {i}",) for i in range(COUNT)]
    with pytest.raises(InputError, match="encoding: expected a name .*'nosuch'"):
        opened(where, own={"encoding": "nosuch"})


@pytest.mark.parametrize("kind", ["cls", "json"])
def test_class_names_need_a_list_of_them(tmp_path, kind):
    def name(i):
        found = ["cat", "dog"][i % 2]
        return found.encode() if kind == "cls" else json.dumps({"label": found}).encode()

    where = tar(tmp_path, ("{}.jpg", made.jpeg), (f"{{}}.{kind}", name))
    column = None if kind == "cls" else "label"
    with pytest.raises(InputError, match="names such as cat, dog, .*--label_column=none"):
        opened(where, label_column=column)
    source = opened(where, label_column=column, class_names=("dog", "cat"))
    assert [s.label for s in source.samples("all", 0, COUNT)] == [1, 0, 1, 0]
    assert opened(where, label_column="none").counts == {"all": COUNT}


@pytest.mark.parametrize("form", ["a.{}.jpg a.{}.txt", "{}.jpg {}.jpg.txt", "{}.JPEG {}.caption"])
def test_files_with_dots_in_their_names(tmp_path, form):
    image, caption = form.split()
    for i in range(COUNT):
        (tmp_path / image.format(i)).write_bytes(made.jpeg(i))
        (tmp_path / caption.format(i)).write_bytes(text(i))
    assert captions(opened(f"pairs:{tmp_path}")) == RIGHT


def test_texts_in_a_folder_of_their_own_are_refused(tmp_path):
    for i in range(COUNT):
        for folder, ending, content in (("i", "jpg", made.jpeg(i)), ("t", "txt", text(i))):
            os.makedirs(tmp_path / folder, exist_ok=True)
            (tmp_path / folder / f"{i}.{ending}").write_bytes(content)
    with pytest.raises(InputError, match=r"received 4 without one, such as t/0; put them in one"):
        opened(f"pairs:{tmp_path}")
    source = opened(f"pairs:{tmp_path}", caption_columns=("none",))
    assert source.counts == {"all": 2 * COUNT} and not source.captioned
