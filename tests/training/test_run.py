"""A run: what it writes, that it resumes bit for bit, and what it refuses."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers import small_run
from helpers.workers import HELPERS, PYTHONPATH

from xsample_tf import data, evaluation, models, text
from xsample_tf.errors import InputError
from xsample_tf.models.networks import backbones
from xsample_tf.training import Interrupted, export_run, load_encoder, train
from xsample_tf.training.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("small_backbone")


@pytest.fixture(scope="module")
def options(scenes_directory, tmp_path_factory):
    return small_run.options(
        data_dir=(scenes_directory,),
        run_dir=str(tmp_path_factory.mktemp("runs") / "whole"),
        batch_size=16,
        epochs=2,
        log_every_steps=3,
        checkpoint_every_steps=2,
        keep_every_epochs=1,
        evaluate_every_epochs=1,
        target_temperature="auto:0.5",
    )


@pytest.fixture(scope="module")
def whole(options, small_backbone):
    lines = []
    return train(options, log=lines.append), lines


def read_metrics(run_dir):
    with open(f"{run_dir}/metrics.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_intervals_and_evaluations_are_logged_at_their_steps(options, whole):
    metrics = read_metrics(options.run_dir)
    # Intervals end every 3 steps and with each epoch of 4; evaluations follow each epoch, and that
    # of the untrained encoder comes first.
    assert [line["step"] for line in metrics] == [0, 3, 4, 4, 6, 8, 8]
    assert [line["step"] for line in metrics if "evaluation" in line] == [0, 4, 8]
    assert all(line["kl"] > 0 for line in metrics if "kl" in line)


def test_the_last_evaluation_is_of_the_trained_and_the_untrained_encoder(options, whole):
    results, lines = whole
    assert results["trained"].keys() == results["untrained"].keys()
    # The KL is the loss's own: of the projection, with the temperatures trained with.
    meta = results["meta"]
    assert meta["kl_of"] == "projection"
    assert f"temperature {meta['target_temperature']:g} leaves" in "\n".join(lines)
    written = json.loads(open(f"{options.run_dir}/results.json", encoding="utf-8").read())
    assert written == json.loads(json.dumps(results))
    scores = evaluation.ImageScores.read(f"{options.run_dir}/scores.npz").scores
    assert np.mean(scores["trained"]["kl"]) == pytest.approx(results["trained"]["kl"], rel=1e-5)
    assert (
        "Curves over training</h2>"
        in open(f"{options.run_dir}/report.html", encoding="utf-8").read()
    )


def test_the_export_is_the_encoder_of_the_last_step(options, whole):
    saved = tf.saved_model.load(f"{options.run_dir}/export/saved_model")
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    embedding = saved.signatures["serving_default"](tf.constant(images))["embedding"]
    encoder, settings = load_encoder(options.run_dir)
    np.testing.assert_allclose(embedding, encoder(images), rtol=1e-3, atol=1e-3)
    assert settings["batch_size"] == 16
    assert (settings["checkpoint"], settings["step"]) == ("epoch-0002", 8)


def test_the_export_has_the_map_of_the_evaluation_and_another_one_fits_it_again(
    options, whole, tmp_path
):
    assert 0 <= whole[0]["trained"]["text_recall_at_1"] <= whole[0]["trained"]["text_recall_at_10"]
    assert any("tools/search.py --model=" in line for line in whole[1])
    export_run(options.run_dir, tmp_path / "plain", log=lambda line: None)
    assert not (tmp_path / "plain" / "text_model").exists()
    export_run(options.run_dir, tmp_path / "map", log=lambda line: None, caption_map=True)
    images = tf.constant(np.random.default_rng(0).random((2, 8, 8, 3), np.float32))
    vectors = tf.constant(text.load_encoder("lexical")(["a red ball", "two cats"]))
    found = []
    for directory in (pathlib.Path(options.run_dir, "export"), tmp_path / "map"):
        encoder = tf.saved_model.load(directory / "saved_model").signatures["serving_default"]
        texts = tf.saved_model.load(directory / "text_model").signatures["embed_vectors"]
        found.append((encoder(images)["caption_embedding"], texts(vectors)["embedding"]))
    for own, again in zip(*found, strict=True):
        np.testing.assert_allclose(own, again, atol=1e-3)


def test_lines_for_the_user_say_how_far_a_run_is_and_what_it_made(whole):
    printed = "\n".join(whole[1])
    for words in ("0.50 of the mass", "step 8/8", "pairs/s", "eta", "saved_model", "epoch-0002"):
        assert words in printed


def test_the_best_of_the_evaluated_checkpoints_is_kept_and_exported(options, whole, tmp_path):
    values = {
        line["step"]: line["evaluation"]["caption_cosine"]
        for line in read_metrics(options.run_dir)
        if line["step"] and "evaluation" in line
    }
    best = max(values, key=values.get)
    encoder, settings = load_encoder(options.run_dir, "best")
    assert (settings["checkpoint"], settings["step"]) == ("best", best)
    same, _ = load_encoder(options.run_dir, f"epoch-{best // 4:04d}")
    for one, two in zip(encoder.weights, same.weights, strict=True):
        np.testing.assert_array_equal(one, two)
    said = any("the best evaluation was that of step 4 (" in line for line in whole[1])
    assert said == (best == 4)
    copy = dataclasses.replace(options, run_dir=str(tmp_path / "copy"), export="best")
    shutil.copytree(options.run_dir, copy.run_dir)
    # The best one need not be the last: here it is made another one.
    shutil.rmtree(f"{copy.run_dir}/checkpoints/best")
    shutil.copytree(f"{copy.run_dir}/checkpoints/epoch-0001", f"{copy.run_dir}/checkpoints/best")
    lines = []
    train(copy, log=lines.append)
    assert "evaluating and exporting the best checkpoint, of step 4" in lines
    card = json.loads(pathlib.Path(copy.run_dir, "export", "model_card.json").read_text())
    assert card["step"] == 4


def test_the_best_is_chosen_among_evaluations(options):
    with pytest.raises(InputError, match="export: expected evaluate_every_epochs > 0 with best"):
        dataclasses.replace(options, export="best", evaluate_every_epochs=0)


def test_the_same_command_on_a_finished_run_trains_no_further(options, whole):
    before = read_metrics(options.run_dir)
    train(options, log=lambda line: None)
    assert read_metrics(options.run_dir) == before


# The second is the same at another place of the run: 20 s.
@pytest.mark.parametrize("stop", ["step 3/8", pytest.param("step 6/8", marks=pytest.mark.slow)])
def test_a_run_that_dies_continues_to_the_same_result(options, whole, tmp_path, stop):
    interrupted = dataclasses.replace(options, run_dir=str(tmp_path / "interrupted"))

    def die_there(line):
        if stop in line:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(interrupted, log=die_there, finish=False)
    with open(f"{interrupted.run_dir}/metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 6, "lo')  # What a killed process leaves.
    lines = []
    train(interrupted, log=lines.append, finish=False)
    continued = [line.split()[3] for line in lines if line.startswith("continuing at step")]
    assert continued == {"step 3/8": [], "step 6/8": ["4"]}[stop]
    assert_equal_runs(interrupted, options)


def assert_equal_runs(ours, expected):
    assert read_metrics(ours.run_dir) == read_metrics(expected.run_dir)
    assert_equal_states(ours, expected)


def assert_equal_states(ours, expected):
    one, two = (
        tf.train.load_checkpoint(f"{run.run_dir}/checkpoints/epoch-0002/state")
        for run in (ours, expected)
    )
    names = {name for name in one.get_variable_to_shape_map() if not name.startswith("_")}
    assert {name.split("/")[0] for name in names} == {"model", "optimizer", "metrics"}
    for name in names:
        np.testing.assert_array_equal(one.get_tensor(name), two.get_tensor(name), name)


@pytest.mark.slow
def test_a_signal_finishes_the_step_and_saves_the_interval_s_partial_sums(options, whole, tmp_path):
    """Slow: two runs to the end, half a minute."""
    stopped = dataclasses.replace(options, run_dir=str(tmp_path / "stopped"))
    before = signal.getsignal(signal.SIGTERM)

    answers = []

    def terminate(line):
        if "SIGTERM" in line:
            answers.append(line)
        if line.startswith("first step done"):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match=r"SIGTERM at step 1 of 8, saved as .*step-00000001;"):
        train(stopped, log=terminate)
    assert answers == ["SIGTERM received: finishing the step and saving; again to stop at once"]
    assert signal.getsignal(signal.SIGTERM) is before
    # In an evaluation, which is repeated, there is nothing to wait for.
    with pytest.raises(Interrupted, match="stopped by SIGINT; nothing is lost"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                evaluation, "run_tasks", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)
            )
            train(stopped, log=lambda line: None)
    lines = []
    train(stopped, log=lines.append, finish=False)
    assert any(line.startswith("continuing at step 4") for line in lines)
    assert_equal_runs(stopped, options)


@pytest.mark.slow
def test_the_tool_is_stopped_killed_and_continued(options, whole, tmp_path, monkeypatch):
    """Slow: three processes import TensorFlow and trace the step, half a minute."""
    ended = dataclasses.replace(options, run_dir=str(tmp_path / "run"))
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    command = [sys.executable, "-u", str(HELPERS / "train_small.py")]
    command += [f"--flagfile={options.run_dir}/run.flags", f"--run_dir={ended.run_dir}"]
    for line, number, status in (
        ("first step done", signal.SIGTERM, 0),
        ("kept checkpoint epoch-0001", signal.SIGKILL, -signal.SIGKILL),
    ):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert any(text.startswith(line) for text in process.stdout)
            with pytest.raises(InputError, match=f"in use by process {process.pid} on "):
                RunDirectory(ended)
            process.send_signal(number)
            printed = process.stdout.read()
        assert process.returncode == status
        if status == 0:
            assert re.search(r"^stopped by SIGTERM at step [1-7] of 8, saved as ", printed, re.M)
            assert f"--flagfile={ended.run_dir}/run.flags\n" in printed
    lines = []
    train(ended, log=lines.append, finish=False)
    assert any(line.startswith("continuing at step 4 ") for line in lines)
    assert_equal_runs(ended, options)


def test_a_kept_checkpoint_is_the_encoder_of_its_epoch(options, whole):
    early, _ = load_encoder(options.run_dir, "epoch-0001")
    last, _ = load_encoder(options.run_dir, "epoch-0002")
    newest, _ = load_encoder(options.run_dir)
    assert not np.array_equal(early.weights[0], last.weights[0])
    np.testing.assert_array_equal(last.weights[0], newest.weights[0])
    with pytest.raises(InputError, match="did you mean 'epoch-000"):
        load_encoder(options.run_dir, "epoch-0003")


def test_a_run_with_a_source_prepares_its_data_first(options, tmp_path):
    given = {"source": "scenes:count=40,size=32", "data_dir": (str(tmp_path / "data"),)}
    # The preparation is done before the devices turn out not to fit.
    unfit = {"strategy": "mirrored", "batch_size": 18}
    with pytest.raises(InputError, match="multiple of the 4 replicas"):
        train(
            dataclasses.replace(options, run_dir=str(tmp_path / "run"), **given, **unfit),
            log=lambda line: None,
        )
    prepared = data.read_dataset(tmp_path / "data")
    assert (prepared.records("train"), prepared.records("val")) == (40, 8)
    assert prepared.encoder("lexical").mean is not None


def test_settings_that_change_the_result_are_refused_unless_allowed(options, whole, tmp_path):
    lines = []
    run_dir = str(shutil.copytree(options.run_dir, tmp_path / "run"))
    changed = dataclasses.replace(options, run_dir=run_dir, temperature=0.2, log_every_steps=4)
    with pytest.raises(InputError, match=r"temperature \(was 0.1, is 0.2\)"):
        train(changed, log=lines.append)
    assert any("log_every_steps was 3, is 4" in line for line in lines)
    train(
        dataclasses.replace(changed, allow_changed=("temperature",)),
        log=lambda line: None,
    )


def test_data_is_judged_by_what_is_in_it(options, scenes_directory, tmp_path):
    moved = str(shutil.copytree(scenes_directory, tmp_path / "data"))
    began = dataclasses.replace(options, run_dir=str(tmp_path / "run"), data_dir=(moved,))
    with RunDirectory(began) as run_directory:
        run_directory.begin()
    lines = []
    with RunDirectory(dataclasses.replace(began, data_dir=(scenes_directory,)), lines.append):
        assert len(lines) == 1 and "data_dir was" in lines[0]
    manifest = pathlib.Path(moved, "dataset.json")
    content = json.loads(manifest.read_text())
    content["splits"]["train"][0]["sha256"] = "0" * 64
    manifest.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"data_dir \(was 'data [0-9a-f]{12}', is 'data"):
        RunDirectory(began)
    with RunDirectory(dataclasses.replace(began, allow_changed=("data_dir",))):
        pass


def test_a_run_directory_that_cannot_be_used_is_left_as_it_is(options, tmp_path):
    began = dataclasses.replace(options, run_dir=str(tmp_path / "run"))
    with RunDirectory(began) as run_directory:
        run_directory.begin()
        with pytest.raises(InputError, match=rf"in use by process {os.getpid()} on .*; wait for"):
            train(began, log=lambda line: None)
    settings = tmp_path / "run" / "options.json"
    content = json.loads(settings.read_text())
    settings.write_text(json.dumps(content | {"momentun": 0.5}))
    with pytest.raises(InputError, match=r"momentun \(was 0.5, is 'unknown to this version'\)"):
        RunDirectory(began)
    settings.write_text("{")
    with pytest.raises(InputError, match="options.json, received what cannot be read"):
        RunDirectory(began)
    settings.unlink()
    (tmp_path / "run" / "checkpoints").mkdir()
    with pytest.raises(InputError, match="has checkpoints but no options.json"):
        RunDirectory(began)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write .*file/run: Not a directory"):
        RunDirectory(dataclasses.replace(began, run_dir=str(tmp_path / "file" / "run")))


def test_settings_stay_when_no_checkpoint_fits_them(options, whole):
    before = pathlib.Path(options.run_dir, "options.json").read_bytes()
    other = dataclasses.replace(options, projector_dim=4, allow_changed=("projector_dim",))
    with pytest.raises(InputError, match="epoch-0002 does not fit this model"):
        train(other, log=lambda line: None)
    assert pathlib.Path(options.run_dir, "options.json").read_bytes() == before


@pytest.mark.parametrize(
    "values, words",
    [
        ({"batch_size": 4096}, "batch_size"),
        ({"epochs": None}, "give epochs or steps"),
        ({"data_dir": ()}, "data_dir"),
        ({"data_dir": ("nowhere",)}, "nowhere"),
        ({"embedding": "lexica"}, "did you mean 'lexical'"),
        ({"run_dir": ""}, "run_dir"),
        ({"target_temperature": "auto:0.0001"}, "can reach"),
    ],
)
def test_a_run_that_cannot_work_ends_before_its_first_step(options, tmp_path, values, words):
    fresh = {"run_dir": str(tmp_path / "run")} | values
    with pytest.raises(InputError, match=words):
        train(dataclasses.replace(options, **fresh), log=lambda line: None)


def test_images_that_do_not_fit_the_backbone_end_the_run_before_its_first_step(
    options, tmp_path, monkeypatch
):
    monkeypatch.setattr(models, "backbone", backbones.backbone)
    unfit = {"run_dir": str(tmp_path / "run"), "backbone": "vit_s16", "image_size": 40}
    with pytest.raises(InputError, match="image_size"):
        train(dataclasses.replace(options, **unfit), log=lambda line: None)


def test_data_without_a_validation_split_is_refused_before_the_first_step(options, tmp_path):
    data.prepare(
        "scenes:count=16,size=32",
        tmp_path / "data",
        encoders=[text.load_encoder("lexical")],
        options=data.SourceOptions(validation_fraction=0),
        log=lambda line: None,
    )
    given = {"data_dir": (str(tmp_path / "data"),), "run_dir": str(tmp_path / "run")}
    with pytest.raises(InputError, match="images in val/ of .*--validation_fraction"):
        train(dataclasses.replace(options, **given), log=lambda line: None)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow  # A run of 13 s; what it stops by is tested with the model's own.
def test_a_loss_that_is_not_finite_stops_the_run(options, tmp_path):
    wild = dataclasses.replace(
        options, run_dir=str(tmp_path), learning_rate=1e30, evaluate_every_epochs=0
    )
    with pytest.raises(InputError, match="skipped, since the loss or a gradient was not"):
        train(wild, log=lambda line: None)


@pytest.mark.slow
def test_executions_of_several_steps_end_where_single_ones_do(options, whole, tmp_path):
    """Slow: three steps are traced as one program, 20 s."""
    changed = dataclasses.replace(options, run_dir=str(tmp_path), steps_per_execution=3)
    train(changed, log=lambda line: None, finish=False)
    ours, expected = read_metrics(changed.run_dir), read_metrics(options.run_dir)
    # They end at 3, 6, within which the first epoch ends, and 8.
    assert [line["step"] for line in ours] == [0, 3, 6, 6, 8, 8]
    assert ours[1] == expected[1]
    assert_equal_states(changed, options)


@pytest.mark.slow
def test_a_run_on_four_replicas_is_the_run_on_one(options, whole, tmp_path):
    """Slow: four replicas are traced one by one, and wait for each other on two cores."""
    lines = []
    changed = dataclasses.replace(options, run_dir=str(tmp_path / "run"), strategy="mirrored")
    train(changed, log=lines.append, finish=False)
    assert any("4 replicas" in line for line in lines)
    intervals = [
        (ours, expected)
        for ours, expected in zip(
            read_metrics(tmp_path / "run"), read_metrics(options.run_dir), strict=True
        )
        if "loss" in expected
    ]
    assert len(intervals) == 4
    for ours, expected in intervals:
        for name in ("loss", "target_entropy"):
            assert ours[name] == pytest.approx(expected[name], rel=1e-4)


def test_devices_that_do_not_fit_are_named(options, tmp_path):
    changed = {"run_dir": str(tmp_path / "run"), "strategy": "mirrored"}
    with pytest.raises(InputError, match="multiple of the 4 replicas, received 18"):
        train(dataclasses.replace(options, **changed, batch_size=18))
    with pytest.raises(InputError, match="divisor of the 4 images of each of 4 replicas"):
        train(dataclasses.replace(options, **changed, microbatch_size=3))
    with pytest.raises(InputError, match="strategy.*did you mean 'mirrored'"):
        dataclasses.replace(options, strategy="miror")
    assert not (tmp_path / "run").exists()
