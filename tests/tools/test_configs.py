"""Every configuration parses, and trains two steps on generated data."""

import functools
import json
import pathlib
import re
import shutil
import sys
import zlib

import command_line
import keras
import numpy as np
import pytest
import tensorflow as tf
import train as train_tool
from helpers import small_run, texts

from xsample_tf import data, evaluation, models, training
from xsample_tf.data import views
from xsample_tf.errors import InputError
from xsample_tf.training import stream

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.flags"))


# With their own ResNet-18 and ResNet-50; a small backbone stands for those of the other configs,
# which take a minute and more to trace.
WHOLE, REAL = "quickstart", "imagenet"
# With their own views; those of the others, of the same policies, only resize.
OWN_VIEWS = (REAL, "cifar100", "flickr8k")
# ResNet-50 is traced for half a minute. The others are 3 s each, and differ from one that is not
# slow in the data, or in the graph, with which tests/training/test_graph_choices.py trains.
SLOW = re.compile(
    r"imagenet|cc12m.*|flickr8k_simclr|flickr8k_clip_tower|own_captions_small|"
    r"cifar100_(supcon|25_per_class|image)|"
    r"(imagenet|cifar100)_(taxonomy|random|shuffled|smoothing|edge|blend).*"
)


class Teacher:
    """Stands for the export that a config's header names."""

    name, handle, size = "teacher", "runs/teacher/export", 8

    def __call__(self, files):
        return np.stack([np.random.default_rng(zlib.crc32(file)).normal(size=8) for file in files])


@pytest.fixture(scope="module")
def prepared(scenes_directory, tmp_path_factory):
    """The scenes with a teacher's vectors, and a taxonomy of their classes beside them."""
    directory = tmp_path_factory.mktemp("configs") / "data"
    shutil.copytree(scenes_directory, directory)
    texts.add_vocabulary(directory)
    dataset = data.add_image_embeddings(directory, Teacher(), log=lambda line: None)
    lines = [f"{name}\t{'round' if name < 'm' else 'other'}" for name in dataset.class_names]
    (directory.parent / "taxonomy.tsv").write_text("\n".join(lines), encoding="utf-8")
    return directory


class Resized(views.ViewPolicy):
    """Views that are traced in a moment."""

    @classmethod
    def from_options(cls, options, **own):
        return cls(options.image_size, options.views)

    def __call__(self, image, seed):
        image = tf.image.resize(tf.cast(image, tf.float32) / 255, [self.size] * 2)
        return tf.stack([image] * self.views)


def small_text_tower(vocabulary_size, length, width, layers, heads):
    """Takes the place of `models.text_tower`, with its arguments."""
    assert width % heads == 0 and layers >= 1
    tower = keras.Sequential([keras.Input((length,), dtype="int32")])
    tower.add(keras.layers.Embedding(vocabulary_size, width))
    tower.add(keras.layers.GlobalAveragePooling1D(dtype="float32"))
    return tower


def small_resnet50(include_top, weights, input_shape):
    """Takes the place of `keras.applications.ResNet50`, whose weights cannot be downloaded here."""
    assert not include_top and weights == "imagenet"
    images = keras.Input(input_shape)
    return keras.Model(images, keras.layers.Conv2D(8, 3, strides=4, name="conv1_conv")(images))


# By which its preprocessing is found.
small_resnet50.__module__ = keras.applications.ResNet50.__module__


def run_two_steps(config, directory, run_dir, capsys, *more):
    """The tool with the config's flags, but for the data, and as few and small images as can be."""
    arguments = ["train", f"--flagfile={config}", f"--data_dir={directory}", "--steps=2"]
    if config.stem.endswith("_taxonomy"):
        arguments.append(f"--taxonomy={directory.parent / 'taxonomy.tsv'}")
    arguments += ["--batch_size=8", "--image_size=32", f"--run_dir={run_dir}", *more]
    command_line.parse(arguments)
    train_tool.main()
    printed = capsys.readouterr().out
    assert "step 2/2" in printed and "(command line)" in printed
    # The run's own flags say the same again.
    command_line.parse(["train", f"--flagfile={run_dir}/run.flags"])
    again = {name: value for name, value, _ in command_line.settings()}
    assert (again["steps"], again["batch_size"], again["run_dir"]) == (2, 8, str(run_dir))
    return printed


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(path, marks=[pytest.mark.slow] if SLOW.fullmatch(path.stem) else [])
        for path in CONFIGS
        if path.stem != WHOLE
    ],
    ids=lambda path: path.stem,
)
def test_config_runs_two_steps(config, prepared, tmp_path, monkeypatch, capsys):
    if config.stem != REAL:
        monkeypatch.setattr(models, "backbone", small_run.backbone)
        monkeypatch.setattr(models, "text_tower", small_text_tower)
        monkeypatch.setattr(keras.applications, "ResNet50", small_resnet50)
    if config.stem not in OWN_VIEWS:
        monkeypatch.setattr(stream, "make_views", Resized.from_options)
    # What follows the steps is the same for all and has tests of its own.
    monkeypatch.setattr(training, "train", functools.partial(training.train, finish=False))
    nothing = evaluation.Evaluation({"trained": {}}, {})
    monkeypatch.setattr(evaluation, "run_tasks", lambda *arguments, **more: nothing)
    # Its own start is a run of another config.
    more = ["--init_from=keras.applications:ResNet50:imagenet"] * (config.stem == "finetune")
    printed = run_two_steps(config, prepared, tmp_path, capsys, *more)
    supervised = "--objective=cross_entropy" in config.read_text()
    assert ("told apart by a linear classifier" in printed) == supervised
    weights = float(re.search(r"(\d+\.\d) M weights", printed).group(1))
    assert (weights > 20) == (config.stem == REAL)


@pytest.mark.slow  # ResNet-50 is traced; the test above has a small network in its place.
def test_the_pretrained_config_runs_two_steps_from_a_file_of_its_architecture(
    prepared, tmp_path, monkeypatch, capsys
):
    """Random weights, since ImageNet's cannot be downloaded where tests run."""
    network = keras.applications.ResNet50(include_top=False, weights=None)
    network.save_weights(tmp_path / "own.weights.h5")
    monkeypatch.setattr(training, "train", functools.partial(training.train, finish=False))
    nothing = evaluation.Evaluation({"trained": {}}, {})
    monkeypatch.setattr(evaluation, "run_tasks", lambda *arguments, **more: nothing)
    config = next(path for path in CONFIGS if path.stem == "own_captions_pretrained")
    start = f"--init_from=keras.applications:ResNet50:{tmp_path / 'own.weights.h5'}"
    printed = run_two_steps(config, prepared, tmp_path / "run", capsys, start)
    assert "23.6 M parameters; makes pixels in [0, 1] (x - [0.408 0.458 0.485])" in printed
    assert "layer_decay: 17 blocks; the rate of conv1_conv is 0.0075" in printed
    assert "frozen by '^conv1': 2 of the encoder's 106 layers with weights" in printed


@pytest.mark.slow  # ResNet-18 is traced, evaluated and exported: half a minute.
def test_the_quickstart_runs_two_steps_and_is_evaluated_and_exported(
    scenes_directory, tmp_path, capsys
):
    printed = run_two_steps(
        next(path for path in CONFIGS if path.stem == WHOLE), scenes_directory, tmp_path, capsys
    )
    assert "model: resnet18, 11.5 M weights with its projector" in printed
    assert "kNN top-1 accuracy" in printed
    scores = json.loads((tmp_path / "results.json").read_text())
    assert scores["trained"].keys() == scores["untrained"].keys()
    encoder, settings = training.load_encoder(str(tmp_path))
    assert (settings["backbone"], settings["step"]) == ("resnet18", 2)
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    exported = tf.saved_model.load(str(tmp_path / "export" / "saved_model"))
    embedding = exported.signatures["serving_default"](tf.constant(images))["embedding"]
    np.testing.assert_allclose(embedding, encoder(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["cc3m_clip", "cc12m_clip"])
def test_clip_s_recipe_has_no_colours_changed(name):
    command_line.parse(["train", f"--flagfile={CONFIGS[0].parent / name}.flags"])
    given = {name: value for name, value, _ in command_line.settings()}
    assert (given["augmentation"], given["min_crop"]) == ("crops", 0.9)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_config_says_what_it_is(config):
    header = config.read_text().split("\n--")[0]
    for words in ("# What:", "# Data:"):
        assert words in header
    command_line.parse(["train", f"--flagfile={config}"])
    if config.stem != "quickstart":
        assert command_line.header_command("prepare_data.py").startswith(
            "python tools/prepare_data.py --source="
        )


def test_without_shards_the_command_that_makes_them_is_printed(tmp_path, monkeypatch, capsys):
    config = next(path for path in CONFIGS if path.stem == "cc3m")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", f"--flagfile={config}"])
    with pytest.raises(SystemExit) as caught:
        command_line.run(train_tool.main, "Trains.")
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "python tools/prepare_data.py --source=img2dataset:cc3m --text_encoder=" in error
    assert not (tmp_path / "runs").exists()


def test_two_lengths_in_one_place_are_refused(tmp_path):
    config = tmp_path / "a.flags"
    config.write_text("--epochs=3\n--steps=4\n")
    command_line.parse(["train", f"--flagfile={config}"])
    with pytest.raises(InputError, match="received both"):
        train_tool.main()
