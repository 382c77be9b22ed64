"""Every objective through the one trainer: steps, resuming, microbatches, replicas, preflight."""

import dataclasses
import json
import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from helpers import small_run, texts, tiny_data

from xsample_tf import data
from xsample_tf.errors import InputError
from xsample_tf.training import Options, train
from xsample_tf.training.initialization import check_settings
from xsample_tf.training.objectives import make_objective
from xsample_tf.training.preflight import loss_checks, setting, step_checks

pytestmark = pytest.mark.usefixtures("small_backbone")

TOWER = {"text_layers": 1, "text_width": 8, "text_heads": 2, "text_tokens": 6}
# By a name: settings of the run, what its progress line shows.
OBJECTIVES = {
    "simclr": ({"objective": "simclr"}, ("loss",)),
    "supcon": ({"objective": "supcon"}, ("loss", "kl")),
    "clip": ({"objective": "clip"}, ("loss", "temperature")),
    "clip of two views and tokens": (
        {"objective": "clip", "views": 2, "text_tower": "transformer", "own": TOWER},
        ("loss", "temperature"),
    ),
    "soft_clip": ({"objective": "soft_clip"}, ("loss", "kl", "temperature")),
    "siglip": ({"objective": "siglip"}, ("loss", "temperature", "bias")),
    "cross_entropy": ({"objective": "cross_entropy"}, ("loss", "accuracy")),
    "xclr and clip": (
        {"objective": "xclr,clip", "own": {"objective_weights": "1,0.5"}},
        ("loss", "xclr_loss", "clip_loss", "temperature"),
    ),
}
# Each kind of model and of loss is looked at closely; the others differ in presets alone.
CLOSELY = ("clip of two views and tokens", "cross_entropy", "xclr and clip")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return texts.add_vocabulary(tiny_data.write(tmp_path_factory.mktemp("data"), 32, 8))


def options_of(name, directory, **changes):
    """Two steps by microbatches, with a checkpoint of each."""
    given = {
        "data_dir": (directory,),
        "batch_size": 8,
        "microbatch_size": 4,
        "steps": 2,
        "warmup_epochs": 0.0,
        "log_every_steps": 1,
        "checkpoint_every_steps": 1,
    }
    settings = {k: v for k, v in small_run.SETTINGS.items() if k != "projector_dim"}
    if name == "cross_entropy":
        del settings["projector_hidden"]
    return Options(**settings | given | OBJECTIVES[name][0] | changes)


def state(run_dir):
    (last,) = pathlib.Path(run_dir, "checkpoints").glob("step-00000002")
    reader = tf.train.load_checkpoint(str(last / "state"))
    names = {name for name in reader.get_variable_to_shape_map() if not name.startswith("_")}
    return {name: reader.get_tensor(name) for name in names}


def but_slow(first, *others):
    """The first case, and others that take the same way, 15 to 30 s each, which are slow."""
    return [first, *(pytest.param(other, marks=pytest.mark.slow) for other in others)]


# A configuration takes two steps of each of the others as well.
@pytest.mark.parametrize(
    "name", but_slow("soft_clip", *sorted(OBJECTIVES.keys() - {*CLOSELY, "siglip", "soft_clip"}))
)
def test_two_steps_are_taken_and_shown(name, directory, tmp_path):
    lines = []
    given = options_of(name, directory, run_dir=str(tmp_path))
    train(given, lines.append, finish=False)
    check_progress(name, lines, pathlib.Path(tmp_path, "metrics.jsonl").read_text())


def check_progress(name, lines, metrics):
    shown, values = OBJECTIVES[name][1], json.loads(metrics.splitlines()[1])
    (last,) = [line for line in lines if " step 2/2 " in line]
    parts = last.split("step 2/2  ")[1].split("  ")[: len(shown)]
    assert parts == [f"{metric} {values[metric]:.4f}" for metric in shown]
    assert values["skipped"] == values["substituted"] == 0


@pytest.mark.slow  # Three runs each; tests/training/test_run.py does it with xclr.
@pytest.mark.parametrize("name", [*CLOSELY, "siglip"])
def test_a_run_that_dies_continues_bit_for_bit(name, directory, tmp_path):
    lines = []
    whole = options_of(name, directory, run_dir=str(tmp_path / "whole"))
    train(whole, lines.append, finish=False)

    def die_there(line):
        if "step 2/2" in line:
            raise ZeroDivisionError

    stopped = dataclasses.replace(whole, run_dir=str(tmp_path / "stopped"))
    with pytest.raises(ZeroDivisionError):
        train(stopped, die_there, finish=False)
    # As its own record reads again: what the objective presets is in it.
    record = json.loads(pathlib.Path(stopped.run_dir, "options.json").read_text())
    again = Options.from_flat(record)
    assert again == stopped
    continued = []
    train(again, continued.append, finish=False)
    assert any(line.startswith("continuing at step 1 ") for line in continued)
    assert not [line for line in continued if "changed since" in line]
    ours, expected = state(stopped.run_dir), state(whole.run_dir)
    assert ours.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(ours[key], value, key)
    metrics = [pathlib.Path(run.run_dir, "metrics.jsonl").read_text() for run in (stopped, whole)]
    assert metrics[0] == metrics[1]
    check_progress(name, lines, metrics[1])


# A quarter of a minute and more each; tests/training/preflight does it with xclr.
@pytest.mark.slow
@pytest.mark.parametrize("name", CLOSELY, ids=str)
def test_a_preflight_finds_several_devices_alike(name, directory, monkeypatch):
    given = options_of(name, directory, microbatch_size=0)
    with setting.open_run(given, print) as opened:
        checks = list(loss_checks.check_forms(opened))

        def step(strategy, policy):
            return step_checks.take_step(opened, strategy, policy)

        checks += step_checks.check_replicas(opened, step)
    found = {check.name: (check.status, check.error) for check in checks}
    assert {status for status, _ in found.values()} == {"pass"}, found
    assert "train step, 2 logical CPU devices" in found
    assert ("loss and gradient, tiled, one device" in found) == (name != "cross_entropy")


@pytest.mark.parametrize(
    "given, resolved",
    [
        ({}, {"graph": "cosine", "views": 2, "temperature": 0.1, "learn_temperature": False}),
        ({"objective": "simclr"}, {"graph": "instance", "views": 2, "text_tower": ""}),
        ({"objective": "supcon", "temperature": 0.2}, {"graph": "label", "temperature": 0.2}),
        (
            {"objective": "clip"},
            {"graph": "instance", "views": 1, "temperature": 0.07, "learn_temperature": True}
            | {"text_tower": "frozen", "projector_dim": 512, "projector_layers": 1},
        ),
        ({"objective": "clip", "views": 3, "learn_temperature": False}, {"views": 3}),
        ({"objective": "soft_clip", "graph": "class"}, {"graph": "class", "views": 1}),
        ({"objective": "siglip"}, {"temperature": 0.1, "learn_temperature": True}),
        ({"objective": "cross_entropy"}, {"temperature": None, "projector_dim": None}),
        (
            {"objective": "xclr,clip"},
            {"graph": "cosine", "views": 2, "temperature": 0.1, "learn_temperature": True}
            | {"text_tower": "frozen", "projector_dim": 128, "own": {"objective_weights": ""}},
        ),
        ({"objective": "clip,xclr"}, {"graph": "cosine", "views": 2, "temperature": 0.07}),
    ],
)
def test_an_objective_presets_what_flags_change(given, resolved):
    options = Options(**given)
    for name, value in (given | resolved).items():
        if name != "own" or value:
            assert getattr(options, name) == value, name
    assert dataclasses.replace(options, batch_size=16).graph == options.graph


@pytest.mark.parametrize(
    "given, words",
    [
        (
            {"objective": "simclr", "graph": "cosine"},
            "graph: objective 'simclr' has 'instance', received 'cosine'; leave graph out",
        ),
        ({"objective": "clip", "graph": "class"}, "graph: objective 'clip' has 'instance'"),
        ({"objective": "supcon", "target_temperature": 0.1}, "target_temperature: objective"),
        ({"text_tower": "transformer"}, "text_tower: objective 'xclr' has 'none'"),
        ({"objective": "clip", "text_tower": "frozn"}, "did you mean 'frozen'"),
        ({"objective": "clap"}, "objective: received 'clap', did you mean 'clip'"),
        ({"objective": "xclr,clop"}, "objective: received 'clop', did you mean 'clip'"),
        ({"objective": "clip", "exclude_self": False}, "exclude_self: objective 'clip' has True"),
        ({"objective": "cross_entropy", "temperature": 0.1}, "temperature: .* has none"),
        ({"objective": "cross_entropy", "projector_dim": 8}, "projector_dim: .* has none"),
        ({"objective": "xclr,cross_entropy"}, "'cross_entropy' compares no projections"),
        (
            {"objective": "simclr,clip", "graph": "cosine"},
            "graph: objectives 'simclr,clip' have 'instance', received 'cosine'",
        ),
        (
            {"objective": "xclr,clip", "own": {"objective_weights": "1"}},
            "objective_weights: expected 2 numbers above 0, one for each of xclr, clip, received",
        ),
        (
            {"objective": "clip", "captions": "mean", "text_tower": "transformer"},
            "captions: expected draw with text_tower=transformer",
        ),
        ({"objective": "clip,xclr,clip"}, "objective: expected each one once, received clip, x"),
        ({"own": {"objective_weights": "1,2"}}, "objective_weights: expected an option of"),
        ({"objective": "clip", "own": {"text_layers": 2}}, "text_layers: expected an option of"),
    ],
)
def test_settings_that_contradict_each_other_are_named(given, words):
    with pytest.raises(InputError, match=words) as caught:
        Options(**given)
    assert "\n" not in str(caught.value)


def test_data_that_lack_what_an_objective_needs_are_named(directory, tmp_path):
    bare = tiny_data.write(tmp_path / "bare", 16, 8, labelled=False, captioned=False)
    captioned = tiny_data.write(tmp_path / "captioned", 16, 8)
    cases = [
        ("supcon", bare, "graph: 'label' needs labels, and .*bare has none; prepare the data with"),
        ("cross_entropy", bare, "graph: 'label' needs labels"),
        ("clip", bare, "embedding: .*bare has no caption vectors"),
        ("clip of two views and tokens", bare, "text_tower: expected captions in .*bare"),
        ("clip of two views and tokens", captioned, "vocabulary: .*captioned has none; learn it"),
    ]
    for name, where, words in cases:
        given = options_of(name, where, run_dir=str(tmp_path / "run"))
        with pytest.raises(InputError, match=words):
            train(given, lambda line: None)
        assert not (tmp_path / "run").exists()
    narrow = options_of("clip of two views and tokens", directory, run_dir=str(tmp_path / "run"))
    narrow = dataclasses.replace(narrow, own=TOWER | {"text_width": 9})
    with pytest.raises(InputError, match="text_width: expected a multiple of the 2 heads"):
        train(narrow, lambda line: None)


def test_a_vocabulary_of_another_run_is_refused_before_the_first_step(tmp_path):
    here = texts.add_vocabulary(tiny_data.write(tmp_path / "data", 16, 8))
    given = options_of("clip of two views and tokens", here, run_dir=str(tmp_path / "run"))
    train(given, lambda line: None, finish=False)
    data.add_vocabulary(here, 9, texts.learn, overwrite=True, log=lambda line: None)
    with pytest.raises(InputError, match="data_dir .was 'vocabulary [0-9a-f]{12}', is 'vocab"):
        train(dataclasses.replace(given, steps=3, allow_changed=("steps",)), lambda line: None)


@pytest.mark.slow
def test_another_run_begins_from_both_towers(directory, tmp_path):
    """Slow: three runs of two towers, 20 s."""
    name = "clip of two views and tokens"
    first = options_of(name, directory, run_dir=str(tmp_path / "first"))
    train(first, lambda line: None, finish=False)
    parts = ("encoder", "projector", "text")
    begun = dataclasses.replace(
        first,
        run_dir=str(tmp_path / "second"),
        init_from=first.run_dir,
        init_parts=parts,
        learning_rate=1e-30,
    )
    train(begun, lambda line: None, finish=False)
    before, after = state(first.run_dir), state(begun.run_dir)
    trained = [key for key in before if key.startswith("model/") and before[key].dtype == "float32"]
    moved = [key for key in trained if not np.allclose(before[key], after[key], atol=1e-6)]
    assert len(trained) > 20 and len(moved) <= 2  # Batch norm's averages.
    with pytest.raises(InputError, match="init_parts: expected encoder and projector and text wi"):
        dataclasses.replace(begun, init_parts=("encoder", "projector", "optimizer"))
    with_slots = dataclasses.replace(
        begun, run_dir=str(tmp_path / "third"), init_parts=(*parts, "optimizer")
    )
    train(with_slots, lambda line: None, finish=False)
    slots = [key for key in before if key.startswith("optimizer/")]
    after = state(with_slots.run_dir)
    # The velocities are the first run's, less what two steps of momentum took away.
    decayed = [key for key in slots if before[key].ndim and np.abs(before[key]).max() > 0]
    for key in decayed:
        np.testing.assert_allclose(after[key], 0.81 * before[key], rtol=1e-4, atol=1e-7)
    assert len(decayed) > 15
    with pytest.raises(InputError, match="init_parts: expected an objective of image and text"):
        Options(init_from="runs/a", init_parts=("encoder", "text"))


def test_heads_that_no_shape_shows_are_compared_before_a_run_begins_from_another(tmp_path):
    (tmp_path / "options.json").write_text("{}")  # By which a run is known.
    settings = {"objective": "clip", "text_tower": "transformer"}
    parts = {"init_from": str(tmp_path), "init_parts": ("encoder", "text")}
    ours = Options(**settings, **parts, own={"text_heads": 4})
    with pytest.raises(InputError, match="text_heads: expected 8, as in .*, whose text init_from"):
        check_settings(ours, settings | {"text_heads": 8})


@pytest.mark.slow  # Runs, 10 s.
def test_the_temperature_begins_where_the_objective_says_and_stays_in_its_range(
    directory, tmp_path
):
    values = {}
    for name, rate in (("clip", 0.05), ("siglip", 1e3)):
        given = options_of(name, directory, run_dir=str(tmp_path / name), learning_rate=rate)
        train(given, lambda line: None, finish=False)
        values[name] = [
            json.loads(line)
            for line in pathlib.Path(given.run_dir, "metrics.jsonl").read_text().splitlines()
        ]
    first, second = values["clip"]
    assert first["temperature"] == pytest.approx(math.exp(-math.log(1 / 0.07)))
    assert second["temperature"] != pytest.approx(first["temperature"], rel=1e-4)
    first, second = values["siglip"]
    assert (first["temperature"], first["bias"]) == (pytest.approx(0.1), -10)
    assert second["temperature"] in (pytest.approx(0.01), pytest.approx(1.0))


@pytest.mark.parametrize("objective", ["clip,siglip", "siglip,xclr", "xclr,siglip,clip"])
def test_a_sum_learns_the_bias_wherever_siglip_stands(objective, directory):
    given = Options(**small_run.SETTINGS, data_dir=(directory,), batch_size=8, objective=objective)
    made = make_objective(given, data.read_dataset(directory))
    model = made.make_model()
    model.compile("sgd", made.make_loss())
    assert float(model.bias.numpy()) == -10
    assert made.progress[-2:] == ("temperature", "bias")
    without = dataclasses.replace(given, learn_temperature=False)
    assert make_objective(without, data.read_dataset(directory)).make_model().bias is None


def test_a_frozen_encoder_that_is_not_tensorflow_leaves_embed_text_out(directory):
    given = options_of("clip", directory, encode_captions="lexical")
    objective = make_objective(given, data.read_dataset(directory))
    lines = []
    assert objective.text_side(None, lines.append) is None
    (line,) = lines
    assert line.startswith("embed_text is left out of the export: the text encoder 'lexical' is no")


@pytest.mark.parametrize(
    ("name", "takes"), [("clip", "vectors"), ("clip of two views and tokens", "texts")]
)
def test_towers_embed_captions_for_the_evaluation_as_in_training(directory, name, takes):
    objective = make_objective(options_of(name, directory), data.read_dataset(directory))
    model = objective.make_model()
    embedder = objective.text_embedder(model)
    assert embedder.takes == takes
    if takes == "vectors":
        captions = trained = tf.random.stateless_normal([3, tiny_data.SIZE], [1, 2])
    else:
        captions = tf.constant(["colour number 1", "", "number"])
        trained = objective.text_tower.tokenizer(captions)
    np.testing.assert_allclose(embedder.embed(captions), model.embed_text(trained), atol=1e-6)
    xclr = make_objective(small_run.options(data_dir=(directory,)), data.read_dataset(directory))
    assert xclr.text_embedder(None) is None
