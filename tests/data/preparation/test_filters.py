"""Rules for captions and images: what they mend, what they leave out, and that they count it."""

import io
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from helpers import web_archives as made
from PIL import Image

from xsample_tf.data import Quality, image_files, manifest, prepare, records, sources
from xsample_tf.errors import InputError


def run(source, output, quality=None, **arguments) -> manifest.Dataset:
    options = sources.Options(validation_fraction=arguments.pop("validation_fraction", 0))
    arguments |= {"options": options, "log": lambda line: None}
    return prepare(source, output, quality=quality, **arguments)


def rows(dataset: manifest.Dataset) -> dict[str, dict]:
    found = {}
    for shard in (shard for shards in dataset.splits.values() for shard in shards):
        for raw in tf.data.TFRecordDataset(f"{dataset.directory}/{shard.path}"):
            row = {name: value.numpy() for name, value in records.parse(raw).items()}
            found[row["key"].decode().partition("/")[2]] = row
    return found


def files(directory: pathlib.Path) -> dict[str, bytes]:
    paths = [path for path in directory.rglob("*") if path.is_file() and path.suffix != ".jsonl"]
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


# --- captions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "caption", "expected"),
    [
        ((), " two\t words\n", "two words"),
        (("<PERSON>=>person",), "<PERSON> and <PERSON>  at sea", "person and person at sea"),
        ((r"^(\w+) of =>\1 in ", "in=>on"), "portrait of oil", "portrait on oil"),
        (("[^ ]+@[^ ]+=>",), "by me@home today", "by today"),
        (("a=>b=>c",), "a cat", "b=>c cb=>ct"),  # The first arrow parts a rule.
    ],
)
def test_rules_mend_captions_in_order(rules, caption, expected):
    assert Quality(caption_rules=rules).caption(caption) == (expected, "")


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        ("", "empty_caption"),
        ("<gone>", "empty_caption"),
        ("one", "short_caption"),
        ("one two three four", "long_caption"),
        ("one \udcfc", "caption_not_utf8"),
    ],
)
def test_captions_are_left_out_by_reason(caption, reason):
    assert Quality(("<gone>=>",), min_words=2, max_words=3).caption(caption) == ("", reason)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"caption_rules": ("abc",)}, "caption_rule: expected PATTERN=>REPLACEMENT"),
        ({"caption_rules": ("(=>x",)}, "caption_rule: cannot use"),
        ({"caption_rules": (r"a=>\3",)}, "caption_rule: cannot use .*group"),
        ({"min_words": 5, "max_words": 4}, "max_words: expected from 5, received 4"),
        ({"min_side": 0}, "min_side: expected at least 1 pixel"),
        ({"max_aspect": 0.5}, "max_aspect: expected at least 1"),
        ({"resize": -1}, "resize: expected pixels"),
        ({"jpeg_quality": 101}, "jpeg_quality: expected 1 to 100"),
    ],
)
def test_a_wrong_value_is_one_line(values, message):
    with pytest.raises(InputError, match=message):
        Quality(**values)


# --- images ---------------------------------------------------------------------------------


def encoded(width: int, height: int, kind: str, **arguments) -> bytes:
    ramp = np.linspace(0, 255, width)[None, :, None] * np.linspace(0.2, 1, height)[:, None, None]
    pixels = np.broadcast_to(ramp, (height, width, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **arguments)
    return buffer.getvalue()


def test_the_shorter_side_is_made_smaller_and_small_images_stay_as_they_are():
    form = image_files.ImageRules(resize=64, jpeg_quality=90)
    for size in ((64, 200), (63, 9)):
        content = encoded(*size, "JPEG")
        assert image_files.normalize(content, form) == (content, False)
    for kind in ("JPEG", "PNG", "WEBP"):
        smaller, again = image_files.normalize(encoded(400, 300, kind), form)
        image = Image.open(io.BytesIO(smaller))
        assert (image.format, image.size, again) == ("JPEG", (85, 64), True)
        whole = np.asarray(Image.open(io.BytesIO(encoded(85, 64, "PNG"))), int)
        assert np.abs(np.asarray(image, int) - whole).mean() < 4
    worse, _ = image_files.normalize(
        encoded(400, 300, "PNG"), image_files.ImageRules(resize=64, jpeg_quality=20)
    )
    assert len(worse) < len(smaller)


def test_a_rotated_photo_is_resized_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # A quarter turn.
    content, _ = image_files.normalize(
        encoded(400, 300, "JPEG", exif=exif), image_files.ImageRules(resize=60)
    )
    assert Image.open(io.BytesIO(content)).size == (60, 80)


def test_a_large_image_that_is_cut_short_is_undecodable():
    content = encoded(400, 300, "JPEG")
    with pytest.raises(image_files.ImageError, match="undecodable"):
        image_files.normalize(content[: len(content) // 2], image_files.ImageRules(resize=64))


@pytest.fixture
def web(tmp_path) -> str:
    """A tar of a large image twice, a small, a tiny and a long one, and captions of all lengths."""
    large = made.jpeg(1, 600, 400)
    members = [("large.jpg", large), ("large.txt", b"a <PERSON> at sea")]
    members += [("small.jpg", made.jpeg(2, 256, 300)), ("small.txt", b"two words")]
    members += [("again.jpg", large), ("again.txt", b"the same once more")]
    members += [("tiny.jpg", made.jpeg(3, 48, 64)), ("tiny.txt", b"too small a one")]
    members += [("long.jpg", made.jpeg(4, 320, 64)), ("long.txt", b"a very wide one")]
    members += [("word.jpg", made.jpeg(5, 200, 200)), ("word.txt", b"word")]
    members += [("last.jpg", large), ("last.txt", b"a third time")]
    return f"webdataset:{made.write_tar(tmp_path / '0.tar', members)}"


def test_web_images_are_resized_unless_told_otherwise(web, tmp_path):
    def sizes(name, quality=None):
        found = rows(run(web, tmp_path / name, quality))
        return {key: Image.open(io.BytesIO(row["image"])).size for key, row in found.items()}

    assert sizes("default")["large"] == (384, 256)
    assert sizes("default")["small"] == (256, 300)
    assert sizes("kept", Quality(resize=0))["large"] == (600, 400)
    assert sizes("less", Quality(resize=100))["large"] == (150, 100)
    with pytest.raises(InputError, match="resize=256, now 100"):
        sizes("default", Quality(resize=100))
    folder = tmp_path / "folder" / "class"
    folder.mkdir(parents=True)
    (folder / "large.jpg").write_bytes(made.jpeg(1, 600, 400))
    original = rows(run(f"folder:{tmp_path}/folder", tmp_path / "original"))["large.jpg"]["image"]
    assert original == made.jpeg(1, 600, 400)


def test_filters_are_counted_and_are_no_fault_of_the_source(web, tmp_path):
    quality = Quality(
        ("<PERSON>=>person",), min_words=2, min_side=60, max_aspect=3, deduplicate=True
    )
    dataset = run(web, tmp_path / "out", quality, max_rejected_fraction=0)
    assert dataset.rejected == {
        "duplicate_image": 2,
        "extreme_aspect": 1,
        "short_caption": 1,
        "too_small": 1,
    }
    found = rows(dataset)
    assert found.keys() == {"large", "small"}
    assert found["large"]["captions"].tolist() == [b"a person at sea"]


def test_the_first_of_equal_files_stays_whatever_the_threads_and_through_a_kill(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 12, 40)
    members = [
        member for i, n in enumerate(numbers) for member in made.pair(f"{i:02d}", int(n), f"c {i}")
    ]
    web = f"webdataset:{made.write_tar(tmp_path / '0.tar', members)}"
    arguments = {"quality": Quality(deduplicate=True), "records_per_shard": 8}
    arguments |= {"validation_fraction": 0.3}
    whole = run(web, tmp_path / "whole", threads=1, **arguments)
    first = {f"{list(numbers).index(n):02d}" for n in numbers}
    assert rows(whole).keys() == first
    assert whole.rejected == {"duplicate_image": 40 - len(first)}
    normalize = image_files.normalize
    for stop in (0, 5, 12, 33):
        calls = []

        def killed(content, form, calls=calls, stop=stop):
            calls.append(1)
            if len(calls) > stop:
                raise KeyboardInterrupt
            return normalize(content, form)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(image_files, "normalize", killed)
            run(web, tmp_path / str(stop), threads=1, **arguments)
        run(web, tmp_path / str(stop), threads=4, **arguments)
        assert files(tmp_path / str(stop)) == files(tmp_path / "whole")
