"""A source of a user's own: registered, opened with its options, and used by the tool."""

import io
import subprocess
import sys

import numpy as np
import pytest
from helpers.preparing import contents, quiet
from PIL import Image

from xsample_tf import data
from xsample_tf.data import sources
from xsample_tf.errors import InputError
from xsample_tf.registry import Option, declared_options


class Counted(sources.Source):
    """Grey images of one caption each, made when they are asked for."""

    captioned = True

    def __init__(self, where, options, classes, counted_shade=0):
        self.counts = {"train": int(where), "val": 2}
        self.fingerprint = f"counted {where}"
        self._shade = counted_shade

    def samples(self, split, start, stop):
        for index in range(start, stop):
            pixels = np.full((8, 8), 10 * index + self._shade, np.uint8)
            yield sources.Sample(f"{split}{index}", pixels, (f"number {index}",))


@pytest.fixture(scope="module", autouse=True)
def registered():
    shade = Option("counted_shade", 0, "Added to each grey value.", minimum=0, maximum=9)
    sources.register("counted", options=[shade])(Counted)


def opened(spec, **own):
    return sources.open_source(spec, data.SourceOptions(own=own))


def test_a_class_of_twenty_lines_is_prepared(tmp_path):
    options = data.SourceOptions(own={"counted_shade": 3})
    dataset = data.prepare("counted:5", tmp_path, options=options, log=quiet)
    found = contents(dataset)
    assert {split: len(rows) for split, rows in found.items()} == {"train": 5, "val": 2}
    shown = np.asarray(Image.open(io.BytesIO(found["train"]["train4"]["image"])))
    assert shown.tolist() == [[43] * 8] * 8
    assert list(found["val"]["val1"]["captions"]) == [b"number 1"]


def test_another_value_of_its_option_does_not_go_on(tmp_path):
    data.prepare("counted:3", tmp_path, log=quiet)
    data.prepare("counted:3", tmp_path, log=quiet)
    other = data.SourceOptions(own={"counted_shade": 1})
    with pytest.raises(InputError, match=r"source_options=None, now \{'counted_shade': 1\}"):
        data.prepare("counted:3", tmp_path, options=other, log=quiet)
    _prepare_with_validation(tmp_path / "more", 0)
    with pytest.raises(InputError, match="source_options=None, now .*counted_shade': 1"):
        _prepare_with_validation(tmp_path / "more", 1)


def _prepare_with_validation(output, shade):
    options = data.SourceOptions(own={"counted_shade": shade})
    more = {"validation_source": "counted:3", "options": options, "log": quiet}
    data.prepare("scenes:count=4,size=16", output, **more)


def test_images_are_paths_bytes_or_pixels(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    content = opened("counted:1").read(pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), pixels)
    (tmp_path / "a.png").write_bytes(content)
    source = sources.SampleList({"all": []}, 0)
    assert source.read(content) == source.read(str(tmp_path / "a.png")) == content


def test_a_list_is_another_one_where_images_or_order_are():
    samples = [sources.Sample(f"{i}", bytes([i]), ("a",)) for i in range(50)]
    first, other = (sources.SampleList({"all": samples}, seed) for seed in (0, 1))
    order = [s.key for s in first.samples("all", 0, 50)]
    assert sorted(order) == sorted(s.key for s in samples)
    assert order != [s.key for s in samples]
    assert order != [s.key for s in other.samples("all", 0, 50)]
    kept = sources.SampleList({"all": samples}, None)
    assert list(kept.samples("all", 2, 4)) == samples[2:4]
    assert first.fingerprint == other.fingerprint == kept.fingerprint
    changed = [sources.Sample("0", b"x", ("a",)), *samples[1:]]
    assert sources.SampleList({"all": changed}, 0).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"counted_shad": 1}, "no kind of source has an option 'counted_shad'; did you mean"),
        ({"counted_shade": "dark"}, "counted_shade: expected a int, received 'dark'"),
        ({"counted_shade": 10}, "counted_shade: expected a number at least 0 and at most 9"),
    ],
)
def test_its_options_are_checked(own, message):
    with pytest.raises(InputError, match=message):
        opened("counted:3", **own)


def test_what_is_no_source_is_told_in_one_line():
    sources.register("nothing")(lambda where, options, classes: [])
    with pytest.raises(InputError, match="source 'nothing': expected a data.sources.Source"):
        opened("nothing:x")
    with pytest.raises(InputError, match="'folder' is .*ClassFolders already"):
        sources.register("folder")(Counted)


def test_every_built_in_says_what_it_is():
    for entry in sources.SOURCES:
        if entry.make.__module__.startswith("xsample_tf."):
            assert f"{entry.name}:" in entry.help
    assert "counted_shade" in declared_options(sources.SOURCES)


def test_tensorflow_datasets_is_imported_by_its_source_only(repository):
    code = (
        "import sys, xsample_tf\n"
        "from xsample_tf.data import sources\n"
        "sources.SOURCES.names()\n"
        "assert 'tensorflow_datasets' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository)
