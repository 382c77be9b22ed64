import numpy as np
import pytest
from helpers import telling_data, telling_images

from xsample_tf.errors import InputError
from xsample_tf.evaluation import Settings, run_tasks, tables

WNIDS = [one.wnid for one in tables.imagenet_classes()]
A, R = tables.imagenet_subset("a"), tables.imagenet_subset("r")


@pytest.fixture(scope="module")
def val(tmp_path_factory):
    """Validation images 2 (ReaL 970, 795), 1 (no ReaL labels) and 3 (ReaL 230, 231)."""
    root = tmp_path_factory.mktemp("val")
    telling_images.write(root / WNIDS[970], "ILSVRC2012_val_00000002.JPEG", 795, 970)
    telling_images.write(root / WNIDS[5], "ILSVRC2012_val_00000001.JPEG", 5)
    telling_images.write(root / WNIDS[230], "ILSVRC2012_val_00000003.JPEG", 9, 230)
    return root


def test_real_goes_by_file_name_and_leaves_out_images_without_labels(val):
    found = telling_images.run("imagenet", imagenet_dir=str(val))
    scores = found.scores["trained"]
    assert scores["imagenet/val_top1"].value == pytest.approx(1 / 3)
    assert scores["imagenet/val_top5"].value == 1
    # Image 2's first guess is its other label, image 1 has none, image 3's right guess is second.
    real = scores["imagenet/real_top1"]
    assert real.value == 0.5 and real.per_image.tolist() == [0.0, 1.0]
    assert real.chance == pytest.approx(2 / 1000)
    meta = found.meta["tasks"]["imagenet"]
    assert meta["val"] == {"from": str(val), "images": 3, "classes": 1000}
    partial = "3 images instead of 50,000, by --allow_partial"
    assert found.meta["left_out"]["imagenet: imagenet_dir is partial"] == partial


def test_a_flat_folder_of_validation_images_gives_real_alone(val, tmp_path):
    for path in val.rglob("*.JPEG"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    found = telling_images.run("imagenet", imagenet_dir=str(tmp_path))
    assert found.scores["trained"].keys() == {"imagenet/real_top1"}
    assert found.scores["trained"]["imagenet/real_top1"].value == 0.5
    assert found.meta["left_out"]["imagenet: 3 images of imagenet_dir"] == "no class folders"


def test_folders_of_v2_are_numbers(tmp_path):
    for label, guess in ((0, 0), (2, 2), (10, 10), (110, 2)):
        telling_images.write(tmp_path / str(label), "image.jpeg", guess)
    found = telling_images.run("imagenet", imagenet_v2_dir=str(tmp_path))
    assert found.scores["trained"]["imagenet/v2_top1"].value == 0.75


@pytest.mark.parametrize(("letter", "classes"), [("a", A), ("r", R)])
def test_subsets_are_restricted_to_their_classes(letter, classes, tmp_path):
    outside = next(index for index in range(1000) if index not in classes)
    # Right inside of the 200 though another class of the 1,000 is higher; and wrong inside.
    telling_images.write(tmp_path / WNIDS[classes[7]], "0.png", outside, classes[7])
    telling_images.write(tmp_path / WNIDS[classes[8]], "1.png", outside, classes[9], classes[8])
    found = telling_images.run("imagenet", **{f"imagenet_{letter}_dir": str(tmp_path)})
    score = found.scores["trained"][f"imagenet/{letter}_top1"]
    assert score.value == 0.5 and score.chance == 1 / 200


def test_a_probe_of_the_data_directorys_classes_in_any_order_scores_them(tmp_path):
    """Classes named by WordNet ids, in no order; labels are places among them."""
    keys = [f"{{name}}-{i}" for i in range(8)]
    classes = {WNIDS[index]: index for index in (7, 3, 900)}
    data_dir = telling_data.write(tmp_path / "data", classes, {"train": keys, "val": keys})
    for index in (3, 7, 900):
        telling_images.write(tmp_path / "sketch" / WNIDS[index], "0.png", index)
    telling_images.write(tmp_path / "sketch" / WNIDS[11], "0.png", 11)
    values = {"imagenet_sketch_dir": str(tmp_path / "sketch"), "imagenet_head": "sgd"}
    found = telling_images.run("imagenet", _some_scores, data_dir, **values)
    assert found.scores["trained"]["imagenet/sketch_top1"].value == 1
    meta = found.meta["tasks"]["imagenet"]
    assert meta["sketch"]["classes"] == 3
    assert meta["head"].startswith("SGD, rate") and "24 images of 3 classes" in meta["head"]
    assert "1 images of imagenet_sketch_dir" in str(found.meta["left_out"])
    with pytest.raises(InputError, match="images of the 1000 ImageNet.*received 3 of them"):
        telling_images.run("imagenet", _some_scores, data_dir, **values, allow_partial=False)


def test_classes_in_another_order_are_an_alarm(val):
    def turned(images):
        return np.roll(telling_images.scores_of(images), 1, axis=1)

    found = telling_images.run("imagenet", turned, imagenet_dir=str(val))
    (warning,) = found.meta["warnings"]
    assert (
        "imagenet: imagenet_dir: 0.00% is near guessing: are the classes in ImageNet's" in warning
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "imagenet: expected one or more of --imagenet_dir, .*received none"),
        (
            {"imagenet_a_dir": "nowhere"},
            "imagenet_a_dir: expected a folder, or tfds:NAME, .*nowhere",
        ),
        ({"imagenet_head": "zero_shot"}, "expected a model of images and texts"),
        ({"imagenet_head": "linear"}, "data_dir: expected a directory"),
    ],
)
def test_what_cannot_be_scored_is_one_line(values, message, val):
    given = values if not values or "imagenet_a_dir" in values else {"imagenet_dir": str(val)}
    with pytest.raises(InputError, match=message) as caught:
        telling_images.run("imagenet", **given | values)
    assert "\n" not in str(caught.value)


def test_another_number_of_images_is_refused(val):
    with pytest.raises(InputError, match="imagenet_dir: expected 50,000 images, received 3 in"):
        telling_images.run("imagenet", imagenet_dir=str(val), allow_partial=False)


def test_another_layout_says_what_was_found(tmp_path):
    (tmp_path / "birds").mkdir()
    with pytest.raises(InputError, match="imagenet_v2_dir: expected a folder for.*'birds'"):
        telling_images.run("imagenet", imagenet_v2_dir=str(tmp_path))
    with pytest.raises(InputError, match="no image files .* in "):
        telling_images.run("imagenet", imagenet_r_dir=str(tmp_path / "birds"))


def test_images_that_cannot_be_decoded_are_refused_or_counted(tmp_path):
    telling_images.write(tmp_path / WNIDS[R[0]], "0.png", R[0])
    (tmp_path / WNIDS[R[0]] / "1.png").write_bytes(b"\x89PNG not really")
    found = telling_images.run("imagenet", imagenet_r_dir=str(tmp_path))
    assert found.scores["trained"]["imagenet/r_top1"].per_image.tolist() == [1.0]
    assert "1 images that can be decoded instead of 2" in str(found.meta["left_out"])


def test_a_model_without_1000_outputs_is_told_so(val):
    with pytest.raises(
        InputError, match="expected a model with 1000 outputs, received vectors of 3"
    ):
        telling_images.run("imagenet", lambda i: np.ones([len(i), 3]), imagenet_dir=str(val))


def test_other_tasks_go_on_and_the_report_says_which_did_not(val):
    values = {"imagenet_dir": str(val), "imagenet_head": "output", "allow_partial": True}
    settings = Settings(image_size=8, values=values, log=lambda line: None)
    found = run_tasks(telling_images.scores_of, ["objectnet", "imagenet"], settings)
    assert found.scores["trained"]["imagenet/val_top5"].value == 1
    why = found.meta["left_out"]["task objectnet"]
    assert why == "objectnet_dir: expected a folder, received none"


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory) -> str:
    """Three images of ImageNet-R as TensorFlow Datasets writes them."""
    tfds = pytest.importorskip("tensorflow_datasets")

    class ImagenetR(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("0.2.0")

        def _info(self):
            features = tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=WNIDS),
                    "file_name": tfds.features.Text(),
                }
            )
            return self.dataset_info_from_configs(features=features)

        def _split_generators(self, manager):
            del manager
            return {"test": self._generate_examples()}

        def _generate_examples(self):
            for place, (label, guess) in enumerate([(R[0], R[0]), (R[3], R[3]), (R[5], R[6])]):
                path = f"{WNIDS[label]}/art_{place}.jpg"
                image = tmp_path_factory.mktemp("image") / "0.png"
                image.write_bytes(telling_images.picture(guess))
                yield path, {"image": str(image), "label": label, "file_name": path}

    builder = ImagenetR(data_dir=tmp_path_factory.mktemp("tfds"))
    builder.download_and_prepare()
    return str(builder.data_path)


def test_data_sets_of_tfds_are_read(tfds_folder):
    found = telling_images.run("imagenet", imagenet_r_dir=f"tfds:{tfds_folder}")
    assert found.scores["trained"]["imagenet/r_top1"].value == pytest.approx(2 / 3)
    with pytest.raises(InputError, match="imagenet_a_dir: expected images of the data set's own"):
        telling_images.run("imagenet", imagenet_a_dir=f"tfds:{tfds_folder}")


def _some_scores(images) -> np.ndarray:
    """Ten numbers that tell the guesses apart."""
    return telling_images.scores_of(images)[:, [3, 7, 11, 900]]
