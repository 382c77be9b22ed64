import numpy as np
import pytest
from helpers import telling_data, telling_images

from xsample_tf.errors import InputError
from xsample_tf.evaluation import tables

WNIDS = ("n01440764", "n01443537")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Eight training images of each of two classes, called as ImageNet's are."""
    directory = tmp_path_factory.mktemp("imagenet")
    keys = [f"train/{{name}}/{{name}}_{i}.JPEG" for i in range(900_000, 900_008)]
    return telling_data.write(
        directory, {WNIDS[0]: 3, WNIDS[1]: 4}, {"train": keys, "val": keys[:4]}
    )


def read(images) -> np.ndarray:
    return telling_images.scores_of(images)[:, 3:5]


def test_probes_are_fitted_on_the_listed_images_alone(data_dir, monkeypatch):
    lists = {
        1: [f"{wnid}_900000.JPEG" for wnid in WNIDS],
        10: [f"{wnid}_90000{i}.JPEG" for wnid in WNIDS for i in range(4)],
    }
    monkeypatch.setattr(tables, "few_labels", lambda percent: frozenset(lists[percent]))
    found = telling_images.run("few_labels", read, data_dir, allow_partial=False)
    meta = found.meta["tasks"]["few_labels"]
    assert [meta[f"{percent} %"]["images"] for percent in (1, 10)] == [2, 8]
    scores = found.scores["trained"]
    assert scores["few_labels/percent1_top1"].value == 1
    assert scores["few_labels/percent10_top1"].value == 1
    lists[1].append("n01440764_1.JPEG")
    with pytest.raises(InputError, match=r"few_labels \(1 %\): expected 3 .*, received 2 in"):
        telling_images.run("few_labels", read, data_dir, allow_partial=False)


def test_other_images_are_refused(data_dir):
    with pytest.raises(InputError, match=r"few_labels \(1 %\): expected 12,811 training images"):
        telling_images.run("few_labels", read, data_dir)
