"""The preflight: what it reports, and that its checks find what is wrong."""

import dataclasses
import json
import math
import pathlib

import pytest
import tensorflow as tf
from helpers import small_run, tiny_data

from xsample_tf.errors import InputError
from xsample_tf.losses import cross_replica
from xsample_tf.training import preflight
from xsample_tf.training.preflight import inspection, loss_checks, rates, setting, step_checks

pytestmark = pytest.mark.usefixtures("small_backbone")


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    directory = tiny_data.write(tmp_path_factory.mktemp("data"))
    return small_run.options(data_dir=(directory,), batch_size=16, epochs=2)


def _statuses(checks):
    return {check.name: check.status for check in checks}


@pytest.mark.slow
def test_a_run_is_inspected_and_left_alone(options, tmp_path, monkeypatch):
    """Slow: it takes all checks and rates of a run, a minute of two cores."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rates, "_BUDGET", 0.0)
    monkeypatch.setattr(inspection, "_CHECKS_END", math.inf)  # However slow this machine is.
    lines = []
    given = dataclasses.replace(
        options,
        run_dir=str(tmp_path / "run"),
        microbatch_size=8,
        synchronized_batch_norm="off",
        warmup_epochs=10.0,  # Longer than the run, which is worth a warning.
    )
    report = preflight.inspect(given, lines.append)
    assert json.loads(json.dumps(report, allow_nan=False))["passed"], lines
    statuses = {check["name"]: check["status"] for check in report["checks"]}
    assert statuses["loss and gradient, tiled, 2 logical CPU devices"] == "pass"
    assert statuses["train step, 2 logical CPU devices"] == "pass"
    assert statuses["batch norm, 2 logical CPU devices"] == "pass"
    assert statuses["bfloat16"] == "skipped"
    assert report["rates"].keys() == {"input", "encoder", "loss", "step", "run"}
    assert all(rate["pairs_per_second"] > 0 for rate in report["rates"].values())
    assert report["limit"] in ("input", "encoder", "loss")
    assert report["verdict"] in lines[-1]
    assert "warning: the run ends within its warm-up of 10 epochs" in lines[0]
    assert "of the mass on the image's own other view" in lines[0]
    assert report["options"]["batch_size"] == 16 and report["machine"]
    assert not list(pathlib.Path(tmp_path).iterdir())


@pytest.mark.slow  # A preflight on two replicas, 10 s.
def test_replicas_that_take_their_share_for_the_batch_are_found(options, monkeypatch):
    def repeated(values):
        count = cross_replica.count()
        return tf.concat([values] * count, 0)

    with setting.open_run(options, print) as opened:
        monkeypatch.setattr(cross_replica, "gather", repeated)
        statuses = _statuses(loss_checks.check_forms(opened))
    assert statuses["loss and gradient, dense, one device"] == "pass"
    assert statuses["loss and gradient, tiled, one device"] == "pass"
    assert statuses["loss and gradient, dense, 2 logical CPU devices"] == "fail"
    assert statuses["loss and gradient, tiled, 2 logical CPU devices"] == "fail"


@pytest.mark.slow
def test_batch_norm_that_is_not_synchronized_is_found(options, monkeypatch):
    """Slow: steps on two devices are traced twice, 20 s."""
    small = setting.OpenedRun.small
    apart = {"synchronized_batch_norm": "off"}
    monkeypatch.setattr(setting.OpenedRun, "small", lambda self: small(self).with_options(**apart))
    with setting.open_run(options, print) as opened:

        def step(strategy, policy):
            return step_checks.take_step(opened, strategy, policy)

        statuses = _statuses(step_checks.check_replicas(opened, step))
    assert statuses["train step, 2 logical CPU devices"] == "fail"
    assert statuses["batch norm, 2 logical CPU devices"] == "fail"


@pytest.mark.parametrize(
    "values, cluster, words",
    [
        ({"data_dir": ()}, "", "data_dir"),
        ({"batch_size": 4096}, "", "batch_size"),
        ({}, ["localhost:1", "localhost:2"], "strategy: expected one machine"),
    ],
)
def test_a_run_that_cannot_work_is_refused(options, monkeypatch, values, cluster, words):
    if cluster:
        config = {"cluster": {"worker": cluster}, "task": {"type": "worker", "index": 0}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(InputError, match=words):
        preflight.inspect(dataclasses.replace(options, **values), print)
