import numpy as np
import pytest
from helpers import telling_images

from xsample_tf.errors import InputError
from xsample_tf.evaluation.tasks import mit_states
from xsample_tf.evaluation.tasks.mit_states import halves

STATES, THINGS = ("old", "wet"), ("cat", "street sign")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight images of each pair, whose guesses are state and thing; two folders without a state."""
    root = tmp_path_factory.mktemp("mit") / "release_dataset" / "images"
    for a, state in enumerate(STATES):
        for b, thing in enumerate(THINGS):
            for i in range(8):
                telling_images.write(root / f"{state} {thing}", f"{i}.jpg", a, 10 + b, 20 + i)
    for b, thing in enumerate(THINGS):
        telling_images.write(root / f"adj {thing}", "0.jpg", 5, 10 + b, 90)
    return root.parent


def read(images) -> np.ndarray:
    """Which state and which thing an image shows."""
    scores = telling_images.scores_of(images)
    return np.stack([scores[:, 1] > scores[:, 0], scores[:, 11] > scores[:, 10]], axis=1) * 1.0


def test_attributes_and_objects_are_probed_on_halves(folder, monkeypatch):
    monkeypatch.setattr(mit_states, "HALVES", 2)
    found = telling_images.run("mit_states", read, mit_states_dir=str(folder.parent))
    scores = {k.removeprefix("mit_states/"): s for k, s in found.scores["trained"].items()}
    assert scores["attributes_top1"].value == scores["objects_top1"].value == 1
    assert scores["attributes_deviation"].value == 0
    assert 0.3 < scores["attributes_top1"].chance < 0.7
    meta = found.meta["tasks"]["mit_states"]
    assert (meta["images"], meta["attributes"], meta["objects"]) == (32, 2, 2)
    partial = found.meta["left_out"]["mit_states: mit_states_dir is partial"]
    assert partial.startswith("32 images instead of 53,753")


def test_equal_images_are_in_the_same_half_whatever_the_order():
    content = np.array([b"a", b"b", b"a", b"c", b"d", b"b"], object)
    for seed in range(5):
        first = halves(content, seed)
        assert first[0] == first[2] and first[1] == first[5]
        assert len(set(content[first])) == len(set(content[~first])) == 2
        np.testing.assert_array_equal(halves(content[::-1], seed), first[::-1])
    assert len({halves(content, seed).tobytes() for seed in range(5)}) > 1


def test_what_is_not_mit_states_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="mit_states_dir: expected 53,753 images, received 32 in"):
        telling_images.run("mit_states", read, mit_states_dir=str(folder), allow_partial=False)
    with pytest.raises(InputError, match="mit_states_dir: expected a folder, received none"):
        telling_images.run("mit_states", read)
    (tmp_path / "cat").mkdir()
    with pytest.raises(InputError, match="such as 'ancient building' or .*received 'cat'"):
        telling_images.run("mit_states", read, mit_states_dir=str(tmp_path))
