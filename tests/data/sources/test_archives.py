"""Web archives as sources: what they hold is read, and what is wrong with one is counted."""

import numpy as np
import pytest
from helpers import web_archives as made

from xsample_tf.data import load_images, manifest, prepare, sources
from xsample_tf.errors import InputError


def opened(spec: str, **options) -> sources.Source:
    return sources.open_source(spec, sources.Options(**options))


def listed(source: sources.Source) -> dict[str, sources.Sample]:
    samples = list(source.samples("all", 0, source.counts["all"]))
    assert len(samples) == source.counts["all"]
    return {f"{sample.key} {sample.fault}".strip(): sample for sample in samples}


def written(source: str, output, **arguments) -> manifest.Dataset:
    options = sources.Options(validation_fraction=0)
    return prepare(source, output, options=options, log=lambda line: None, **arguments)


def stored(dataset: manifest.Dataset) -> dict[str, np.ndarray]:
    batches = load_images(dataset.directory, "train", 64, 16).as_numpy_iterator()
    return {
        key.decode(): image
        for b in batches
        for key, image in zip(b["key"], b["image"], strict=True)
    }


def test_shards_of_the_webdataset_package_are_read(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(f"{tmp_path}/hub-%06d.tar", maxcount=3, verbose=0) as sink:
        for i in range(5):
            fields = {"width": 24, "label": i % 2}
            sink.write(
                {"__key__": f"{i:05d}", "jpg": made.jpeg(i), "txt": f"a text {i}", "json": fields}
            )
    source = opened(f"webdataset:{tmp_path}/hub-{{000000..000001}}.tar", label_column="label")
    samples = listed(source)
    assert [*samples] == [f"hub-{i // 3:06d}.tar/{i:05d}" for i in range(5)]
    for i, sample in enumerate(samples.values()):
        assert (sample.captions, sample.label) == ((f"a text {i}",), i % 2)
        assert source.read(sample.image) == made.jpeg(i)


# --- img2dataset ----------------------------------------------------------------------------


@pytest.mark.parametrize("output_format", ["webdataset", "files", "parquet", "tfrecord"])
def test_img2dataset_is_read_in_each_format(output_format, tmp_path):
    folder = made.write_img2dataset(tmp_path / "cc", output_format)
    source = opened(f"img2dataset:{folder}")
    assert source.counts == {"all": 6}
    assert source.captioned
    samples = list(source.samples("all", 0, 6))
    for number, sample in enumerate(samples):
        assert sample.captions == (f"caption {number}",)
        assert sample.key.endswith(f"/{number:09d}")
        assert source.read(sample.image) == made.jpeg(number)
    # A block in the middle, over the border of two archives.
    assert list(source.samples("all", 2, 5)) == samples[2:5]
    dataset = written(f"img2dataset:{folder}", tmp_path / "out", records_per_shard=4)
    assert dataset.rejected == made.REJECTED
    assert len(stored(dataset)) == 6
    assert [shard.records for shard in dataset.splits["train"]] == [4, 2]


def test_img2dataset_says_what_it_expected(tmp_path):
    with pytest.raises(InputError, match="no folder .*expected the output folder"):
        opened(f"img2dataset:{tmp_path}/none")
    with pytest.raises(InputError, match=r"expected what img2dataset writes .*00000\.tar"):
        opened(f"img2dataset:{tmp_path}")
    folder = made.write_img2dataset(tmp_path / "cc", "webdataset")
    (tmp_path / "cc" / "00001_stats.json").write_text('{"count": 3')
    with pytest.raises(InputError, match=r"statistics .*00001_stats\.json"):
        opened(f"img2dataset:{folder}")


@pytest.mark.parametrize("output_format", ["webdataset", "parquet", "tfrecord"])
def test_a_shard_cut_in_the_middle_costs_no_other_record(output_format, tmp_path):
    folder = made.write_img2dataset(tmp_path / "cc", output_format)
    suffix = {"webdataset": "tar", "parquet": "parquet", "tfrecord": "tfrecord"}[output_format]
    shard = tmp_path / "cc" / f"00000.{suffix}"
    last = shard.read_bytes().index(made.jpeg(2)) + 100
    shard.write_bytes(shard.read_bytes()[:last])
    dataset = written(f"img2dataset:{folder}", tmp_path / "out")
    kept = 3 if output_format == "parquet" else 5  # What Parquet holds stands at its end.
    assert len(stored(dataset)) == kept
    assert dataset.rejected == made.REJECTED | {"archive_damaged": 1}


def test_dead_links_do_not_count_as_unusable_images(tmp_path):
    folder = made.write_img2dataset(tmp_path / "cc", "webdataset")
    dataset = written(f"img2dataset:{folder}", tmp_path / "out", max_rejected_fraction=0)
    assert dataset.records("train") == 6
    assert dataset.rejected == made.REJECTED


# --- webdataset -----------------------------------------------------------------------------


def test_what_is_wrong_with_a_member_is_counted_and_costs_no_other(tmp_path):
    members = made.pair("a/one", 1, "first") + made.pair("a/two", 2, b"gr\xfcn")
    members += [("lonely.txt", b"no image"), ("silent.jpg", made.jpeg(3)), (".hidden.jpg", b"")]
    members += [("rotten.jpg", made.jpeg(9)[:300]), ("rotten.txt", b"x"), ("README", b"")]
    members += [*made.pair("a/one", 4, "again")[:1], *made.pair("upper", 5, "last")]
    members[-2] = ("upper.JPG", made.jpeg(5))
    made.write_tar(tmp_path / "0.tar", members)
    dataset = written(f"webdataset:{tmp_path}/0.tar", tmp_path / "out", max_rejected_fraction=1)
    assert sorted(stored(dataset)) == ["0.tar/a/one", "0.tar/upper"]
    assert dataset.rejected == {
        "caption_not_utf8": 1,
        "duplicate_key": 1,
        "missing_caption": 1,
        "missing_image": 1,
        "undecodable": 1,
        "unknown_member": 1,
    }


def test_archives_may_use_the_same_keys(tmp_path):
    for name in ("x/0.tar", "y/0.tar"):
        made.write_tar(tmp_path / name, made.pair("0", ord(name[0]), name))
    samples = listed(opened(f"webdataset:{tmp_path}/?/0.tar"))
    assert {key: sample.captions for key, sample in samples.items()} == {
        "x/0.tar/0": ("x/0.tar",),
        "y/0.tar/0": ("y/0.tar",),
    }


def test_captions_labels_and_keys_from_json_and_cls(tmp_path):
    members = made.pair("0", 0, "text", de="eins", en=["one", "two"], label="dog")
    members += [("1.jpg", made.jpeg(1)), ("1.json", b'{"de": '), ("2.jpg", made.jpeg(2))]
    members += [("2.cls", b"1\n"), ("3.jpg", made.jpeg(3)), ("3.json", b'{"caption": "three"}')]
    where = f"webdataset:{made.write_tar(tmp_path / '0.tar', members)}"
    names = {"class_names": ("cat\tCat", "dog\tDog")}
    chosen = listed(opened(where, caption_columns=("en", "de"), label_column="label", **names))
    assert chosen["0.tar/0"].captions == ("one", "two", "eins")
    assert chosen["0.tar/0"].label == 1
    assert "0.tar/1 malformed_json" in chosen
    usual = listed(opened(where, **names))
    assert usual["0.tar/0"].captions == ("text",)
    assert usual["0.tar/2"].label == 1
    assert usual["0.tar/3"].captions == ("three",)


def test_class_numbers_alone_make_a_labelled_source(tmp_path):
    members = [(f"{i}.{kind}", c) for i in range(4) for kind, c in
               (("jpg", made.jpeg(i)), ("cls", str(i % 2).encode()))]  # fmt: skip
    source = opened(f"webdataset:{made.write_tar(tmp_path / '0.tar', members)}")
    assert not source.captioned
    assert [sample.label for sample in source.samples("all", 0, 4)] == [0, 1, 0, 1]


def test_patterns_and_ranges_name_tars(tmp_path):
    for i in (8, 9, 10):
        made.write_tar(tmp_path / f"{i:03d}.tar", made.pair("k", i, str(i)))
    for pattern in ("*.tar", "{008..010}.tar", "0{08..10}.tar"):
        source = opened(f"webdataset:{tmp_path}/{pattern}")
        captions = [sample.captions[0] for sample in source.samples("all", 0, 3)]
        assert captions == ["8", "9", "10"]
    with pytest.raises(InputError, match=r"no file .*011\.tar"):
        opened(f"webdataset:{tmp_path}/{{008..011}}.tar")


def test_what_is_no_tar_is_one_line(tmp_path):
    for content, message in (
        (b"anything" * 200, r"no image in .*a\.tar: archive_damaged 1"),
        (b"<HTML>" * 200, r"expected a plain tar, received a web page in .*a\.tar; fetch"),
        (b"\x1f\x8b", r"received gzip in .*a\.tar; gunzip it"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer .*git lfs pull"),
    ):
        (tmp_path / "a.tar").write_bytes(content)
        with pytest.raises(InputError, match=message):
            opened(f"webdataset:{tmp_path}/a.tar")


@pytest.mark.parametrize("position", ["header", "end"])
def test_a_damaged_header_ends_an_archive_and_is_counted(position, tmp_path):
    path = tmp_path / "0.tar"
    made.write_tar(path, made.pair("0", 0, "zero") + made.pair("1", 1, "one"))
    content = bytearray(path.read_bytes())
    if position == "header":
        content[content.index(b"1.txt") + 150] ^= 255  # The header's own checksum.
    else:
        del content[content.index(b"one") + 512 - content.index(b"one") % 512 :]
    path.write_bytes(content)
    samples = listed(opened(f"webdataset:{path}"))
    assert samples.keys() == {"0.tar/0", "0.tar/1", "0.tar archive_damaged"}


def test_tars_of_the_real_webdataset_package(tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    with webdataset.TarWriter(str(tmp_path / "0.tar")) as writer:
        for i in range(3):
            writer.write({"__key__": f"{i:05d}", "jpg": made.jpeg(i), "txt": f"caption {i}",
                          "cls": i, "json": {"n": i}})  # fmt: skip
    source = opened(f"webdataset:{tmp_path}/0.tar")
    for i, sample in enumerate(source.samples("all", 0, 3)):
        assert (sample.key, sample.captions, sample.label) == (
            f"0.tar/{i:05d}",
            (f"caption {i}",),
            i,
        )
        assert source.read(sample.image) == made.jpeg(i)


def test_a_caption_column_that_nothing_has_is_said_before_the_work(tmp_path):
    made.write_tar(tmp_path / "a.tar", made.pair("1", 1, "a text", alt="another"))
    source = f"webdataset:{tmp_path}/a.tar"
    assert opened(source, caption_columns=("alt",)).captioned
    with pytest.raises(InputError, match=r"no column 'nosuch' in .*a\.tar; choose from alt"):
        opened(source, caption_columns=("nosuch",))
