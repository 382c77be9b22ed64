import numpy as np
import pytest
from helpers import tiny_data
from helpers.plain_encoders import mean_color

from xsample_tf.errors import InputError
from xsample_tf.evaluation import Settings, run_tasks

# Where mean_color puts each of the six colours; the last name says nothing of its colour.
PROMPTS = {f"color {i}": tiny_data.COLORS[i] / 255 - 0.5 for i in range(6)}


def embed(texts):
    return np.stack([next(v for name, v in PROMPTS.items() if name in text) for text in texts])


def run(data_dir, embed_texts=embed, **values):
    settings = Settings(
        data_dir, image_size=16, embed_texts=embed_texts, values=values, log=lambda line: None
    )
    return run_tasks(mean_color, ["zero_shot"], settings, baseline=mean_color)


def test_images_are_classified_by_the_names_of_their_classes(data_dir):
    found = run(data_dir, templates="cifar10")
    scores = found.scores["trained"]
    assert scores["zero_shot/top1"].value == scores["zero_shot/single_top1"].value == 1
    assert scores["zero_shot/top5"].value == 1
    assert scores["zero_shot/top1"].chance == pytest.approx(1 / 6)
    assert found.scores["untrained"] == {}
    meta = found.meta["tasks"]["zero_shot"]
    assert meta["templates"] == "18 of cifar10" and meta["names"][0] == "color 0"


def test_own_prompts_and_names(data_dir, tmp_path):
    (tmp_path / "prompts.txt").write_text("this is {}\n\nit is {}\n")
    names = [f"color {i}" for i in (1, 0, 2, 3, 4, 5)]
    (tmp_path / "names.txt").write_text("\n".join(names))
    found = run(
        data_dir,
        templates=str(tmp_path / "prompts.txt"),
        prompt_names=str(tmp_path / "names.txt"),
    )
    # Two names have changed places.
    assert found.scores["trained"]["zero_shot/top1"].value == pytest.approx(4 / 6)
    assert "2 of" in found.meta["tasks"]["zero_shot"]["templates"]
    (tmp_path / "names.txt").write_text("color 1\n")
    with pytest.raises(InputError, match="prompt_names: expected 6 names, .*received 1 in"):
        run(data_dir, prompt_names=str(tmp_path / "names.txt"))


def test_what_cannot_be_classified_is_refused(data_dir, bare_dir):
    with pytest.raises(InputError, match="zero_shot: expected a model of images and texts"):
        run(data_dir, None)
    with pytest.raises(InputError, match="zero_shot: expected images with classes"):
        run(bare_dir)
    with pytest.raises(InputError, match="templates: expected imagenet1k, .*received 'cifar'"):
        run(data_dir, templates="cifar")
