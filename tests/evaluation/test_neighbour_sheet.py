import shutil

import numpy as np
import pytest
from helpers.plain_encoders import mean_color
from PIL import Image

from xsample_tf import evaluation
from xsample_tf.data import manifest
from xsample_tf.errors import InputError
from xsample_tf.evaluation.neighbour_sheet import validation_records


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


def test_what_lies_behind_the_last_record_of_a_shard_is_not_read(data_dir, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(data_dir, copy)
    dataset = manifest.read_dataset(copy)
    with open(copy / dataset.splits["val"][-1].path, "ab") as file:
        file.write(b"half of a record")
    found = list(validation_records(dataset).as_numpy_iterator())
    assert len(found) == dataset.records("val")
