import numpy as np
import pytest
from helpers import telling_images

from xsample_tf.errors import InputError
from xsample_tf.evaluation import tables
from xsample_tf.evaluation.images import as_they_are

GROUPS = tables.imagenet_9_groups()
CLASSES = [one.wnid for one in tables.imagenet_classes()]
DOG, OTHER_DOG = np.flatnonzero(GROUPS == 0)[:2]
FISH, NOTHING = np.flatnonzero(GROUPS == 8)[0], np.flatnonzero(GROUPS == -1)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("in9") / "bg_challenge"
    for variation, guesses in {
        "mixed_same": [(DOG,), (OTHER_DOG, DOG), (NOTHING, DOG), (FISH, NOTHING, DOG)],
        "mixed_rand": [(FISH, DOG), (NOTHING, OTHER_DOG), (FISH,), (FISH,)],
    }.items():
        for place, own in enumerate(guesses):
            name = f"fg_{CLASSES[DOG]}_{place}_bg_{CLASSES[FISH]}_1.JPEG"
            telling_images.write(root / variation / "val" / "00_dog", name, *own)
    return root


def test_three_rules_stand_side_by_side(folder):
    found = telling_images.run("imagenet9", imagenet9_dir=str(folder.parent))
    scores = found.scores["trained"]
    values = {key.removeprefix("imagenet9/"): score.value for key, score in scores.items()}
    # By the map a class without a group is wrong; among the nine it is not looked at.
    assert values["mixed_same_map"] == 0.5 and values["mixed_rand_map"] == 0
    assert values["mixed_same_nine"] == 0.75 and values["mixed_rand_nine"] == 0.25
    assert values["mixed_same_exact"] == 0.25 and values["mixed_rand_exact"] == 0
    assert [values[f"bg_gap_{rule}"] for rule in ("map", "nine", "exact")] == [0.5, 0.5, 0.25]
    assert scores["imagenet9/mixed_same_map"].chance == 1 / 9
    assert found.meta["left_out"]["imagenet9: only_fg"].startswith("no only_fg/val in")
    assert found.meta["tasks"]["imagenet9"]["images"] == {"mixed_same": 4, "mixed_rand": 4}


def test_images_are_taken_whole():
    """A crop to 7/8 would cut the first pixels off; of another size they are only resized."""
    image = np.random.default_rng(0).integers(0, 256, [24, 24, 3], np.uint8)
    np.testing.assert_allclose(as_they_are(24)(image), image / 255, atol=1e-6)
    smaller = as_they_are(8)(image).numpy()
    assert smaller.shape == (8, 8, 3)
    np.testing.assert_allclose(smaller.mean(), image.mean() / 255, atol=0.01)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", "imagenet9_dir: expected the folder of ImageNet-9, received none"),
        ("nowhere", "imagenet9_dir: expected a folder, received 'nowhere'"),
    ],
)
def test_without_its_folder_it_says_so(where, message):
    with pytest.raises(InputError, match=message):
        telling_images.run("imagenet9", imagenet9_dir=where)


def test_another_layout_says_what_was_found(tmp_path, folder):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(InputError, match="expected folders such as original/val.*found pictures"):
        telling_images.run("imagenet9", imagenet9_dir=str(tmp_path))
    telling_images.write(tmp_path / "original" / "val" / "00_cat", "0.png", 1)
    with pytest.raises(InputError, match="a folder for each class .* received '00_cat'"):
        telling_images.run("imagenet9", imagenet9_dir=str(tmp_path))
    with pytest.raises(
        InputError, match=r"imagenet9_dir \(mixed_same\): expected 4,050 images, re"
    ):
        telling_images.run("imagenet9", imagenet9_dir=str(folder), allow_partial=False)
