import numpy as np
import pytest
from helpers.plain_encoders import mean_color
from PIL import Image

from xsample_tf.errors import InputError
from xsample_tf.evaluation import Settings, run_tasks

COLORS = {"blue": (0, 0, 200), "green": (0, 200, 0), "red": (200, 0, 0)}


def write(folder, count, ending="png"):
    random = np.random.default_rng(count)
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = np.clip(random.integers(-20, 20, [20, 20, 3]) + color, 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.{ending}")


def run(where):
    settings = Settings(
        image_size=16, probes=["knn"], values={"folder_dir": str(where)}, log=lambda line: None
    )
    return run_tasks(mean_color, ["folder"], settings)


def test_half_of_each_class_is_fitted_on(tmp_path):
    write(tmp_path, 6, "webp")  # As prepare_data reads them, not TensorFlow alone.
    (tmp_path / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff not really")
    found = run(tmp_path)
    assert found.scores["trained"]["folder/knn_top1"].value == 1
    meta = found.meta["tasks"]["folder"]
    assert sum(meta["images"].values()) == 18 and meta["classes"] == 3
    assert {"they cannot be decoded"} <= set(found.meta["left_out"].values())
    assert run(tmp_path).meta == found.meta


def test_splits_that_are_there_are_used(tmp_path):
    write(tmp_path / "train", 4)
    write(tmp_path / "val", 2)
    assert run(tmp_path).meta["tasks"]["folder"]["images"] == {"train": 12, "val": 6}


def test_what_has_no_classes_is_refused(tmp_path):
    with pytest.raises(InputError, match="folder_dir: expected a folder of class folders"):
        run("")
    (tmp_path / "only").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "only" / "0.png")
    with pytest.raises(InputError, match="folder_dir: expected two classes or more"):
        run(tmp_path)
