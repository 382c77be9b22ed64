"""A run's directory is itself wherever it lies, and a run may start from another one's weights."""

import dataclasses
import json
import pathlib
import shutil

import command_line
import numpy as np
import pytest
import run_flags
import tensorflow as tf
from helpers import tiny_data
from helpers.small_model import small_encoder

from xsample_tf import models
from xsample_tf.errors import InputError
from xsample_tf.training import Options, load_encoder, train


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            models, "backbone", lambda name, image_size, **unused: small_encoder(image_size)
        )
        yield


def run(folder, **changes):
    options = Options(
        data_dir=str(folder / "data"),
        run_dir=str(folder / "run"),
        backbone="resnet18",
        image_size=8,
        projector_hidden=8,
        projector_dim=4,
        batch_size=8,
        steps=4,
        warmup_epochs=0,
        optimizer="sgd",
        learning_rate=0.05,
        blur=False,
        log_every_steps=1,
        checkpoint_every_steps=2,
    )
    options = dataclasses.replace(options, **changes)
    lines = []
    train(options, log=lines.append, finish=False)
    return options, lines


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    tiny_data.write(folder / "data", train=32, val=8)
    run(folder)
    return folder


@pytest.mark.slow  # Two runs, 20 s.
def test_a_copy_of_a_run_continues_itself_from_any_working_directory(first, tmp_path, monkeypatch):
    monkeypatch.chdir(first)
    run(first, data_dir=("data",), run_dir="relative")
    original = pathlib.Path("relative", "metrics.jsonl").read_bytes()
    copy = shutil.copytree(first / "relative", tmp_path / "elsewhere" / "copy")
    monkeypatch.chdir(tmp_path)
    # Also one of version 0.2, whose paths are as they were given.
    flags = copy / "run.flags"
    for text in (flags.read_text(), flags.read_text().replace(str(first) + "/", "")):
        flags.write_text(text)
        command_line.parse(
            ["train", "--flagfile=elsewhere/copy/run.flags", f"--data_dir={first}/data"]
        )
        assert run_flags.read().run_dir == "elsewhere/copy"
        command_line.parse(["train", f"--flagfile={flags}", "--run_dir=other"])
        assert run_flags.read().run_dir == "other"
    flags.write_text(text)
    shutil.copy(first / "relative" / "run.flags", flags)
    command_line.parse(["train", f"--flagfile={flags}", "--steps=6", "--allow_changed=steps"])
    train(run_flags.read(), log=lambda line: None, finish=False)
    assert (first / "relative" / "metrics.jsonl").read_bytes() == original
    steps = [json.loads(line)["step"] for line in (copy / "metrics.jsonl").open()]
    assert steps == [1, 2, 3, 4, 5, 6]


def state(run_dir, name):
    reader = tf.train.load_checkpoint(f"{run_dir}/checkpoints/{name}/state")
    shapes = reader.get_variable_to_shape_map()
    return {key: reader.get_tensor(key) for key in shapes if not key.startswith("_")}


@pytest.mark.slow  # 20 s each; the encoder alone is taken over below.
@pytest.mark.parametrize("checkpoint", ["", ":step-00000002"])
def test_a_run_starts_from_the_weights_of_another(first, tmp_path, checkpoint):
    # With a rate of nothing the first checkpoint has what the run started from.
    options, lines = run(
        first,
        run_dir=str(tmp_path / "second"),
        init_from=f"{first}/run{checkpoint}",
        init_parts=("encoder", "projector", "optimizer"),
        learning_rate=1e-30,
        steps=1,
    )
    step = 2 if checkpoint else 4
    assert any(f"step {step}: encoder, projector, optimizer" in line for line in lines)
    record = json.loads((tmp_path / "second" / "init.json").read_text())
    assert record["step"] == step and record["run"] == str(first / "run")
    before = state(first / "run", f"step-{step:08d}")
    after = state(tmp_path / "second", "step-00000001")
    trainable = [v.shape for v in load_encoder(str(first / "run"))[0].trainable_variables]
    for place, shape in enumerate(trainable):
        key = f"model/{place}/.ATTRIBUTES/VARIABLE_VALUE"
        assert before[key].shape == tuple(shape)
    # With a rate of nothing a kernel moves by its momentum alone, which is taken over as well.
    kernel = "model/0/.ATTRIBUTES/VARIABLE_VALUE"
    (momentum,) = [
        value
        for key, value in before.items()
        if key.startswith("optimizer") and value.shape == before[kernel].shape
    ]
    expected = before[kernel] + 0.9 * momentum
    np.testing.assert_allclose(after[kernel], expected, rtol=1e-5, atol=1e-7)
    assert np.abs(momentum).max() > 1e-4
    # The count of steps is the run's own.
    assert after["optimizer/0/.ATTRIBUTES/VARIABLE_VALUE"] == 1
    # The same command again continues the run, and takes nothing over.
    _, lines = run(
        first,
        **{
            name: getattr(options, name)
            for name in ("run_dir", "init_from", "init_parts", "learning_rate")
        },
        steps=2,
        allow_changed=("steps",),
    )
    assert any("continuing at step 1" in line for line in lines)
    assert not any("starting from" in line for line in lines)


def test_the_encoder_alone_may_be_taken_over(first, tmp_path):
    _, lines = run(
        first,
        run_dir=str(tmp_path / "second"),
        init_from=f"{first}/run",
        init_parts=("encoder",),
        projector_dim=2,
        learning_rate=1e-30,
        steps=1,
    )
    ours, theirs = (load_encoder(str(d))[0] for d in (tmp_path / "second", first / "run"))
    for one, two in zip(ours.trainable_weights, theirs.trainable_weights, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {"init_from": "nowhere"},
            "init_from: .*RUN:CHECKPOINT.*'nowhere', which does not exist",
        ),
        ({"projector_dim": 2}, "projector_dim: expected 4, as in .*, received 2; leave projector"),
        ({"backbone": "resnet34"}, "backbone: expected 'resnet18', as in"),
        ({"init_from": "RUN:step-00000009"}, "none named 'step-00000009'"),
        ({"init_parts": ("encoders",)}, "unknown part 'encoders', did you mean 'encoder'"),
        ({"init_parts": ("encoder", "optimizer")}, "expected encoder and projector with optimizer"),
    ],
)
def test_what_does_not_fit_is_one_line(first, tmp_path, changes, words):
    changes = {"init_from": "RUN"} | changes
    changes["init_from"] = changes["init_from"].replace("RUN", f"{first}/run")
    with pytest.raises(InputError, match=words):
        run(first, run_dir=str(tmp_path / "second"), **changes)
