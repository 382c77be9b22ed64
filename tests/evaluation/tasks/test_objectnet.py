import numpy as np
import pytest
from helpers import telling_images

from xsample_tf.errors import InputError
from xsample_tf.evaluation import tables
from xsample_tf.evaluation.tasks.objectnet import objectnet_scores

FOLDERS = tables.objectnet_folders()
SHARED = sorted(index for own in FOLDERS.values() for index in own)
OUTSIDE = next(index for index in range(1000) if index not in SHARED)


def test_both_rules_and_the_border(tmp_path):
    first, second = FOLDERS["alarm_clock"]
    banana = FOLDERS["banana"][0]
    images = tmp_path / "objectnet-1.0" / "images"
    for name, guesses in {
        "second": (second,),  # Either of a folder's classes is right.
        "outside": (OUTSIDE, first),  # Right among the 113 only.
        "wrong": (banana, first),
    }.items():
        telling_images.write(images / "alarm_clock", f"{name}.png", *guesses, border=2)
    telling_images.write(images / "tongs", "0.png", banana, border=2)  # Not shared with ImageNet.
    found = telling_images.run("objectnet", objectnet_dir=str(tmp_path))
    scores = found.scores["trained"]
    assert scores["objectnet/restricted_top1"].per_image.tolist() == [1.0, 1.0, 0.0]
    assert scores["objectnet/full_top1"].per_image.tolist() == [0.0, 1.0, 0.0]
    assert scores["objectnet/full_top5"].value == scores["objectnet/restricted_top5"].value == 1
    assert scores["objectnet/restricted_top1"].chance == 1 / 113
    assert scores["objectnet/full_top1"].chance == 2 / 1000


def test_rules_are_those_of_plain_loops():
    random = np.random.default_rng(0)
    scores, labels = random.normal(size=(40, 1000)), random.integers(0, 113, 40)
    found = objectnet_scores(scores, labels)
    groups = list(FOLDERS.values())
    projected = np.array([[max(row[i] for i in own) for own in groups] for row in scores])
    np.testing.assert_array_equal(
        found["restricted_top1"].per_image, projected.argmax(axis=1) == labels
    )
    for top in (1, 5):
        best = np.argsort(-scores, axis=1)[:, :top]
        right = [
            bool(set(own) & set(groups[label])) for own, label in zip(best, labels, strict=True)
        ]
        np.testing.assert_array_equal(found[f"full_top{top}"].per_image, right)


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(InputError, match="objectnet_dir: expected a folder, received none"):
        telling_images.run("objectnet", objectnet_dir="")
    with pytest.raises(InputError, match="expected folders such as air_freshener|alarm_clock"):
        telling_images.run("objectnet", objectnet_dir=str(tmp_path))
    telling_images.write(tmp_path / "banana", "0.png", 1, border=2)
    with pytest.raises(InputError, match="objectnet_dir: expected 18,574 images, received 1 in"):
        telling_images.run("objectnet", objectnet_dir=str(tmp_path), allow_partial=False)
