"""A run that starts from an encoder that exists: what it keeps, freezes and is compared with."""

import json
import shutil

import keras
import numpy as np
import pytest
from helpers import small_run, strategies, tiny_data

from xsample_tf import evaluation, models
from xsample_tf.errors import InputError
from xsample_tf.training import Options, export_run, load_encoder, read_start, train
from xsample_tf.training.distributed import workers
from xsample_tf.training.model import START_PROJECTOR

FROZEN = "^stem"
IMAGES = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)


def small_encoder():
    """Of pixels in [0, 1], with a stem, two blocks and batch norm; its weights are not fresh."""
    images = keras.Input((8, 8, 3), name="images")
    x = images
    for name in ("stem", "block1", "block2"):
        # A bias before batch norm would have no gradient.
        x = keras.layers.Conv2D(6, 3, padding="same", use_bias=False, name=name)(x)
        x = keras.layers.BatchNormalization(name=f"{name}_norm")(x)
    x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="embedding")(x)
    encoder = keras.Model(images, x, name="theirs")
    generator = np.random.default_rng(1)
    encoder.set_weights(
        [w + (generator.normal(size=w.shape) if w.ndim > 1 else 0.1) for w in encoder.get_weights()]
    )
    return encoder


def run(folder, run_dir, finish=False, **changes):
    settings = {
        "data_dir": str(folder / "data"),
        "run_dir": str(run_dir),
        "init_from": str(folder / "encoder.keras"),
        "backbone": "",
        "batch_size": 8,
        "steps": 4,
        "warmup_epochs": 0.0,
        "freeze": FROZEN,
        "layer_decay": 0.5,
        "log_every_steps": 2,
        "checkpoint_every_steps": 2,
    }
    lines = []
    train(small_run.options(**settings | changes), log=lines.append, finish=finish)
    return lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("starting")
    tiny_data.write(folder / "data", train=32, val=16)
    small_encoder().save(folder / "encoder.keras")
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    """A run that is trained, evaluated and exported, and what it printed."""
    return folder / "run", run(folder, folder / "run", finish=True)


def theirs(folder):
    return keras.saving.load_model(folder / "encoder.keras")


def weights(encoder):
    return {variable.path: np.array(variable) for variable in encoder.variables}


def test_what_was_loaded_is_printed_before_the_work_and_recorded(folder, whole):
    directory, lines = whole
    place = next(i for i, line in enumerate(lines) if line.startswith("starting from"))
    assert lines[place] == (
        f"starting from {folder / 'encoder.keras'}: encoder; 0.0 M parameters; takes pixels in "
        "[0, 1]; its own output, 6 numbers"
    )
    assert any(
        "layer_decay: 3 blocks; the rate of stem is 0.12 and that of block2 is 0.5" in line
        for line in lines[place:]
    )
    frozen = "2 of the encoder's 6 layers with weights, 174 of its 846 parameters"
    assert f"frozen by '^stem': {frozen}" in lines
    assert not any("step 2/4" in line for line in lines[:place])
    record = json.loads((directory / "init.json").read_text())
    assert record["parts"] == ["encoder"] and record["init_from"].endswith("encoder.keras")


def test_it_is_evaluated_beside_what_it_started_from(folder, whole):
    directory, lines = whole
    results = json.loads((directory / "results.json").read_text())
    assert set(results) == {"trained", "start", "chance", "meta", "verdict"}
    assert results["trained"].keys() == results["start"].keys()
    assert results["trained"] != results["start"]
    (head,) = [line.split("\n")[0] for line in lines if line.startswith("measure")]
    assert head.split() == ["measure", "trained", "starting", "weights", "chance"]
    # The KL is of the projection: by the projector that the run began with.
    expected = evaluation.evaluate(
        theirs(folder),
        folder / "data",
        projector=read_start(str(directory), START_PROJECTOR),
        image_size=8,
        log=lambda line: None,
    )["trained"]
    for measure in ("knn_top1", "rankme", "caption_cosine_ratio", "kl"):
        assert results["start"][measure] == pytest.approx(expected[measure], rel=1e-4)


def test_frozen_layers_are_as_they_came_and_the_others_are_not(folder, whole):
    trained = weights(load_encoder(str(whole[0]))[0])
    for path, value in weights(theirs(folder)).items():
        same = np.array_equal(trained[path], value)
        assert same == path.startswith("stem"), path


def test_a_run_that_was_interrupted_ends_as_it_would_have(folder, whole, tmp_path):
    directory = shutil.copytree(whole[0], tmp_path / "copy")
    shutil.rmtree(directory / "checkpoints" / "step-00000004")
    lines = run(folder, directory)
    assert any("continuing at step 2" in line for line in lines)
    assert not any("starting from" in line for line in lines)
    ours, other = (weights(load_encoder(str(one))[0]) for one in (directory, whole[0]))
    for path, value in other.items():
        np.testing.assert_array_equal(ours[path], value)


@pytest.mark.slow  # Three runs, 16 s.
def test_a_run_is_read_and_continued_without_what_it_started_from(
    folder, whole, tmp_path, monkeypatch
):
    directory = shutil.copytree(whole[0], tmp_path / "moved")
    (folder / "encoder.keras").rename(folder / "away.keras")
    try:
        expected, _ = load_encoder(str(whole[0]))
        export_run(str(directory), tmp_path / "export", log=lambda line: None)
        exported = models.load_encoder(tmp_path / "export", 8, log=lambda line: None)
        np.testing.assert_allclose(exported(IMAGES), expected(IMAGES), rtol=1e-5, atol=1e-6)
        # A run can start from it in turn.
        line = next(
            line
            for line in run(folder, tmp_path / "second", init_from=str(directory), steps=1)
            if line.startswith("starting from")
        )
        assert "step-00000004, step 4: encoder, projector; 0.0 M parameters" in line
        run(folder, directory, steps=5, allow_changed=("steps",))
        assert load_encoder(str(directory))[1]["step"] == 5
    finally:
        (folder / "away.keras").rename(folder / "encoder.keras")


@pytest.mark.slow  # 10 s; tests/models freezes on two replicas.
def test_two_replicas_keep_frozen_layers_too(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "make_strategy", lambda *unused: strategies.mirrored(2))
    lines = run(folder, tmp_path / "run", steps=2, microbatch_size=2)
    assert any("2 replicas" in line for line in lines)
    trained = weights(load_encoder(str(tmp_path / "run"))[0])
    for path, value in weights(theirs(folder)).items():
        assert np.array_equal(trained[path], value) == path.startswith("stem"), path


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"backbone": "resnet18"}, r"backbone: .*encoder.keras is of another architecture than .*"),
        ({"image_size": 16}, "image_size: .* takes images of 8 pixels, received 16; set --image_s"),
        ({"freeze": "conv"}, "freeze: expected a pattern .*'conv', which is found in none of stem"),
        ({"init_from": "weights.weights.h5"}, "weights without an architecture; name it, as --ba"),
        (
            {"init_parts": ("encoder", "text"), "objective": "clip"},
            "init_parts: expected encoder",
        ),
        (
            {"init_parts": ("projector",), "backbone": "resnet18", "freeze": ""},
            "init_parts: expected encoder",
        ),
    ],
)
@pytest.mark.usefixtures("small_backbone")
def test_what_does_not_fit_is_one_line_before_the_work(folder, tmp_path, changes, words):
    with pytest.raises(InputError, match=words) as caught:
        run(folder, tmp_path / "run", **changes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"freeze": "(stem"}, r"freeze: expected a regular expression, received '\(stem' \("),
        ({"layer_decay": 0.0}, "layer_decay: expected a number above 0 and at most 1, received 0"),
        ({"small_images": True}, "small_images: expected --backbone with it"),
    ],
)
def test_settings_of_a_start_are_checked_at_once(changes, words):
    with pytest.raises(InputError, match=words):
        Options(init_from="encoder.keras", **changes)


def test_without_a_start_the_backbone_has_its_default():
    assert Options().backbone == "resnet50"
    assert Options(init_from="runs/a").backbone == ""
    assert Options(init_from="runs/a", init_parts=("projector",)).backbone == "resnet50"
