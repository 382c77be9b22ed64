"""Checkpoints: all state, whole or not at all, the newest that can be read, and what is refused."""

import os
import pathlib
import resource
import shutil

import keras
import numpy as np
import pytest
from helpers import small_model, strategies

from xsample_tf.errors import InputError
from xsample_tf.models import XSampleModel
from xsample_tf.training.checkpoints import Checkpoints, restore_encoder


class Killed(BaseException):
    """What the process that is killed never sees."""


@pytest.fixture
def model():
    model = small_model.small_model(optimizer=keras.optimizers.AdamW(0.1))
    # Random state is no weight, and is what resuming forgets most easily.
    layers = [*model.encoder.layers, keras.layers.Dropout(0.5)]
    encoder = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    dropping = XSampleModel(encoder, model.projector)
    dropping.compile(keras.optimizers.AdamW(0.1), model.loss)
    dropping.optimizer.build(dropping.trainable_variables)
    return dropping


def fill(model, number):
    """Other values in all variables, for each number."""
    for i, variable in enumerate(state(model)):
        variable.assign(np.full(variable.shape, 100 * number + i, variable.dtype))


def is_filled(model, number):
    return all(np.all(v.numpy() == 100 * number + i) for i, v in enumerate(state(model)))


def state(model):
    return [*model.variables, *model.optimizer.variables, *model.metrics_variables]


def open_checkpoints(directory, model, keep=3):
    return Checkpoints(directory / "checkpoints", model, keep)


def save(checkpoints, model, *steps):
    for step in steps:
        fill(model, step)
        checkpoints.save(step)


def restored(directory, model):
    fill(model, 0)
    lines = []
    step = open_checkpoints(directory, model).restore(lines.append)
    assert is_filled(model, step)
    return step, lines


def names(directory):
    return sorted(path.name for path in (directory / "checkpoints").iterdir())


def test_all_state_comes_back(model, tmp_path):
    assert any("seed_generator" in variable.path for variable in state(model))
    assert restored(tmp_path, model) == (0, [])
    save(open_checkpoints(tmp_path, model), model, 7)
    assert restored(tmp_path, model) == (7, [])


def test_partial_sums_survive_on_several_replicas(tmp_path):
    with strategies.mirrored(2).scope():
        model = small_model.small_model()
        model.optimizer.build(model.trainable_variables)
    model.fit(small_model.batches(3), verbose=0)
    before = [variable.numpy() for variable in state(model)]
    open_checkpoints(tmp_path, model).save(3)
    fill(model, 0)
    assert open_checkpoints(tmp_path, model).restore(print) == 3
    for variable, value in zip(state(model), before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


def test_the_last_ones_and_the_named_ones_are_kept(model, tmp_path):
    checkpoints = open_checkpoints(tmp_path, model, keep=2)
    save(checkpoints, model, 1, 2)
    fill(model, 3)
    checkpoints.save(3, "epoch-0001")
    save(checkpoints, model, 4, 5)
    assert names(tmp_path) == ["epoch-0001", "step-00000004", "step-00000005"]
    assert (checkpoints.newest.name, checkpoints.step) == ("step-00000005", 5)
    for name in ("step-00000004", "step-00000005"):
        shutil.rmtree(tmp_path / "checkpoints" / name)
    assert restored(tmp_path, model) == (3, [])


def test_a_kill_at_any_moment_of_a_write_leaves_a_checkpoint(model, tmp_path, monkeypatch):
    killed, moment, found = True, 0, []
    while killed:
        directory = tmp_path / str(moment)
        directory.mkdir()
        checkpoints = open_checkpoints(directory, model, keep=1)
        save(checkpoints, model, 1)
        fill(model, 2)
        with monkeypatch.context() as patch:
            _kill_before(patch, moment)
            try:
                checkpoints.save(2)
                killed = False
            except Killed:
                moment += 1
        step, lines = restored(directory, model)
        found.append(step)
        assert not lines and not list(directory.glob("checkpoints/.*"))
    assert found == sorted(found) and {1, 2} == set(found) and moment > 8


def _kill_before(patch, moment):
    """Kills at the call to the file system of that number; no later one has an effect either."""
    left = [moment]

    def killing(call, forgiving=False):
        def patched(*arguments, **more):
            left[0] -= 1
            if left[0] >= 0:
                return call(*arguments, **more)
            if not forgiving:  # What follows the kill in a `finally`.
                raise Killed
            return None

        return patched

    for owner, name in (
        *((os, name) for name in ("fsync", "rename", "mkdir")),
        *((pathlib.Path, name) for name in ("rename", "write_text", "mkdir")),
    ):
        patch.setattr(owner, name, killing(getattr(owner, name)))
    patch.setattr(shutil, "rmtree", killing(shutil.rmtree, forgiving=True))


def _truncate(path):
    file = next(path.glob("state.data*"))
    file.write_bytes(file.read_bytes()[:-40])


def _flip(path):
    content = bytearray((path / "state.index").read_bytes())
    content[len(content) // 3] ^= 1
    (path / "state.index").write_bytes(content)


@pytest.mark.parametrize(
    "damage, reason",
    [
        (_truncate, "state.data-00000-of-00001 is not as it was written"),
        (_flip, "state.index is not as it was written"),
        (lambda path: (path / "state.index").unlink(), "state.index is missing"),
        (lambda path: (path / "checkpoint.json").write_text("{"), "checkpoint.json is not as"),
        (lambda path: (path / "checkpoint.json").unlink(), "checkpoint.json is missing"),
    ],
)
def test_the_newest_that_can_be_read_is_used_and_the_skipped_named(model, tmp_path, damage, reason):
    save(open_checkpoints(tmp_path, model), model, 1, 2, 3)
    damage(tmp_path / "checkpoints" / "step-00000003")
    step, lines = restored(tmp_path, model)
    assert step == 2
    assert len(lines) == 1 and "step-00000003: " in lines[0] and reason in lines[0]
    lines = []
    restore_encoder(tmp_path / "checkpoints", model, None, lines.append)
    assert len(lines) == 1 and reason in lines[0]
    with pytest.raises(InputError, match="cannot read .*step-00000003"):
        restore_encoder(tmp_path / "checkpoints", model, "step-00000003", print)
    # The damaged one is no reason to remove a good one, and is replaced in its turn.
    checkpoints = open_checkpoints(tmp_path, model, keep=1)
    assert checkpoints.restore(lines.append) == 2
    save(checkpoints, model, 3)
    assert names(tmp_path) == ["step-00000003"]
    assert restored(tmp_path, model) == (3, [])


def test_a_run_never_starts_over_beside_checkpoints_that_cannot_be_read(model, tmp_path):
    save(open_checkpoints(tmp_path, model), model, 1, 2)
    for path in (tmp_path / "checkpoints").iterdir():
        _truncate(path)
    with pytest.raises(InputError, match="none in .* can be read.*remove them to start over"):
        restored(tmp_path, model)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def test_another_architecture_is_refused_and_nothing_is_overwritten(model, tmp_path):
    save(open_checkpoints(tmp_path, model), model, 1)
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
    projector = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    other = XSampleModel(encoder, projector)
    other.compile("sgd", model.loss)
    other.optimizer.build(other.trainable_variables)
    with pytest.raises(InputError, match="step-00000001 does not fit this model"):
        open_checkpoints(tmp_path, other).restore(print)
    with pytest.raises(InputError, match="step-00000001 is of another architecture"):
        restore_encoder(tmp_path / "checkpoints", other, None, print)
    assert restored(tmp_path, model) == (1, [])


def test_weights_that_are_not_finite_are_not_saved(model, tmp_path):
    checkpoints = open_checkpoints(tmp_path, model)
    save(checkpoints, model, 1)
    model.trainable_variables[-1].assign([0, np.nan, 0, 0])
    with pytest.raises(InputError, match="not finite at step 2.*continues from .*step-00000001"):
        checkpoints.save(2)
    assert restored(tmp_path, model) == (1, [])


def test_a_write_that_fails_leaves_those_before(model, tmp_path):
    checkpoints = open_checkpoints(tmp_path, model)
    save(checkpoints, model, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(InputError, match="step-00000002: File too large.*step-00000001"):
            checkpoints.save(2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == ["step-00000001"]
    assert restored(tmp_path, model) == (1, [])
    save(checkpoints, model, 2)
    assert restored(tmp_path, model) == (2, [])
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write .*Not a directory"):
        open_checkpoints(tmp_path / "file", model)
