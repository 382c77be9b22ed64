"""How many images validate where a source has no split and no share is given."""

import json

import numpy as np
import pytest
from helpers.preparing import quiet, run, table, write_png

from xsample_tf import data
from xsample_tf.data import manifest
from xsample_tf.data.preparation.in_place import _default_fraction
from xsample_tf.data.preparation.journal import JOURNAL
from xsample_tf.data.sources import open_source
from xsample_tf.data.sources.interpretation import splits


def write(folder, numbers):
    folder.mkdir()
    for number in numbers:
        write_png(folder / f"{number}.png", number)
    return table(folder, [(f"{number}.png", f"caption {number}") for number in numbers])


@pytest.fixture
def small(monkeypatch):
    """20 of 60 images are enough."""
    monkeypatch.setattr(splits, "_FEW", 60)
    monkeypatch.setattr(splits, "_ENOUGH", 20)


@pytest.mark.parametrize("images", [5000, 6000, 12000, 22000, 30000, 10**6])
def test_a_thousand_validate_of_five_thousand_or_more(images):
    fraction = splits.default_fraction(images)
    # The hash gives each image to val by itself: four deviations below the mean is enough still.
    mean = fraction * images
    assert mean - 4 * np.sqrt(mean * (1 - fraction)) > 1000
    assert fraction == 0.05 or mean < 1145
    assert splits.default_fraction(4999) == 0.05 == splits.default_fraction(0)


def test_the_share_is_printed_stored_and_kept_by_append(small, tmp_path):
    lines = []
    made = data.prepare(write(tmp_path / "a", range(60)), tmp_path / "out", log=lines.append)
    assert made.validation_fraction == pytest.approx(8 / 7 / 3, abs=1e-4)
    assert 12 < made.records("val") < 36  # By the hash of each image; 5 % would be 3.
    (line,) = [line for line in lines if line.startswith("validation")]
    assert "0.381 of the 60 images, about 23, by a hash" in line and "--validation_fraction" in line
    stored = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert stored["validation_fraction"] == made.validation_fraction
    larger = data.append(write(tmp_path / "b", range(60, 100)), tmp_path / "out", log=quiet)
    assert larger.validation_fraction == made.validation_fraction
    # By hash, so that all 100 images are where the share has them.
    whole = write(tmp_path / "c", range(100))
    options = {"validation_fraction": made.validation_fraction}
    assert run(whole, tmp_path / "whole", options=options).records("val") == larger.records("val")


def test_what_was_begun_with_another_share_keeps_it(small, tmp_path):
    source, out = write(tmp_path / "a", range(60)), tmp_path / "out"
    first = run(source, out, options={"validation_fraction": 0.05})
    assert run(source, out) == first
    (out / manifest.MANIFEST).unlink()  # As if it had been killed.
    assert run(source, out).validation_fraction == 0.05
    assert run(source, out, overwrite=True).records("val") > 12
    assert json.loads((out / JOURNAL).read_text().splitlines()[0])["validation_fraction"] > 0.05


def test_a_source_with_splits_stores_no_share(tmp_path, small):
    rows = []
    for number in range(12):
        write_png(tmp_path / f"{number}.png", number)
        rows.append((f"{number}.png", f"caption {number}", "val" if number < 4 else "train"))
    lines = []
    source = table(tmp_path, rows, ("image", "caption", "split"))
    made = data.prepare(source, tmp_path / "out", log=lines.append)
    assert made.validation_fraction is None and made.records("val") == 4
    assert not [line for line in lines if line.startswith("validation")]


def test_scenes_have_as_many_for_validation(small):
    assert open_source("scenes:count=60", data.SourceOptions()).counts["val"] >= 20
    assert open_source("scenes:count=40", data.SourceOptions()).counts["val"] == 2
    given = data.SourceOptions(validation_fraction=0.1)
    assert open_source("scenes:count=60", given).counts["val"] == 6


def test_whole_files_give_enough_where_records_stay_where_they_lie(small):
    files = {"all": tuple((f"{number}.tfrecord", 12) for number in range(6))}
    share = _default_fraction(files)
    assert round(share * 6) * 12 >= 20 and round(share * 6) < 6
    assert _default_fraction({"all": (("a", 30), ("b", 30))}) == 0.5
    assert _default_fraction({"all": (("a", 5),) * 9}) == 0.05
    assert _default_fraction({"train": (("a", 500),)}) == 0.05
