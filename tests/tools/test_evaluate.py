import json
import re
import shutil
import subprocess
import sys

import keras
import pytest
from helpers import small_run, tiny_data

from xsample_tf import evaluation
from xsample_tf.export import export
from xsample_tf.training import train


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> str:
    image = keras.Input([16, 16, 3])
    features = keras.layers.Conv2D(8, 3, activation="relu")(image)
    encoder = keras.Model(image, keras.layers.GlobalAveragePooling2D()(features))
    directory = tmp_path_factory.mktemp("run")
    export(encoder, directory / "export", 16, {})
    return str(directory)


def evaluate(repository, *flags) -> subprocess.CompletedProcess:
    command = [sys.executable, str(repository / "tools" / "evaluate.py"), *flags]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_run_is_evaluated_beside_its_untrained_encoder(repository, run_dir, tmp_path):
    data, output = tiny_data.write(tmp_path / "data"), tmp_path / "out"
    done = evaluate(repository, f"--model={run_dir}", f"--data_dir={data}", f"--output={output}")
    assert done.returncode == 0, done.stderr
    assert "kNN top-1 accuracy" in done.stdout and "untrained" in done.stdout
    results = json.loads((output / "results.json").read_text())
    assert {"trained", "untrained", "chance", "meta", "verdict"} == set(results)
    assert results["meta"]["image_size"] == 16
    assert "| kNN top-1 accuracy (k 20, T 0.07) |" in (output / "report.md").read_text()
    assert "Nearest neighbours</h2>" in (output / "report.html").read_text()
    scores = evaluation.ImageScores.read(output / "scores.npz").scores
    assert {name: len(own["knn_top1"]) for name, own in scores.items()} == {
        "trained": 48,
        "untrained": 48,
    }


def test_a_bad_flag_exits_2_with_one_line(repository, tmp_path):
    flags = ["--model=nowhere", "--data_dir=nowhere", f"--output={tmp_path}", "--tasks=shard"]
    done = evaluate(repository, *flags)
    assert done.returncode == 2
    expected = "error: task: received 'shard', did you mean 'shards'?"
    assert done.stderr.strip().splitlines()[-1] == expected
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def with_own(repository, run_dir, tmp_path_factory):
    """What the guide's module gives through the tool: standard output and the output directory."""
    directory = tmp_path_factory.mktemp("own")
    guide = (repository / "docs" / "evaluation.md").read_text(encoding="utf-8")
    code = re.search(r"<!-- own.py -->\n```python\n(.*?)```", guide, re.DOTALL).group(1)
    (directory / "own.py").write_text(code, encoding="utf-8")
    done = evaluate(
        repository,
        f"--import={directory / 'own.py'}",
        "--tasks=shards,dark",
        "--dark_factor=0",
        f"--model={run_dir}",
        f"--data_dir={tiny_data.write(directory / 'data')}",
        f"--output={directory / 'out'}",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, directory / "out"


@pytest.mark.slow  # A process of 7 s; tests/evaluation has measures of one's own.
def test_a_measure_of_ones_own_stands_beside_the_others(with_own):
    stdout, output = with_own
    results = json.loads((output / "results.json").read_text())
    assert results["trained"]["spread"] > 0 < results["untrained"]["spread"]
    assert results["chance"]["spread"] is None
    assert re.search(r"^distance from the centre +\d+\.\d\d +\d+\.\d\d +-$", stdout, re.MULTILINE)
    assert "| distance from the centre |" in (output / "report.md").read_text()


@pytest.mark.slow  # Two processes of 7 s; tests/evaluation/report_page compares runs.
def test_evaluations_stand_side_by_side_without_a_model(repository, with_own, tmp_path):
    first, second = with_own[1], tmp_path / "second"
    shutil.copytree(first, second)
    done = evaluate(repository, f"--compare={first},{second}", f"--output={tmp_path / 'both'}")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "both" / "report.html").read_text()
    # Titles of measures of one's own are known by --import alone.
    assert "no clear difference from" in page and "dark: top1" in page
    (second / "scores.npz").unlink()
    done = evaluate(repository, f"--compare={first},{second}", f"--output={tmp_path / 'both'}")
    assert done.returncode == 2
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith(f"error: {second}/scores.npz: expected the scores of an evaluation")


@pytest.mark.slow  # A process of 11 s; tests/evaluation adds a task too.
def test_a_task_of_ones_own_is_run_with_its_flag(with_own):
    stdout, output = with_own
    results = json.loads((output / "results.json").read_text())
    # Black images are all alike: the classifier gives them one of the six classes.
    assert results["trained"]["dark/top1"] == pytest.approx(1 / 6)
    assert results["trained"]["linear_top1"] > 0.5
    assert results["meta"]["options"] == {"dark_factor": 0.0}
    assert "dark: top-1 accuracy of darkened images" in stdout


@pytest.mark.slow  # Two processes of 10 s; tests/training/trained has what they call.
def test_checkpoints_of_a_run_are_compared(repository, tmp_path):
    data, run, output = tiny_data.write(tmp_path / "data", 32, 16), tmp_path / "run", tmp_path / "o"
    train(
        small_run.options(
            data_dir=data,
            run_dir=str(run),
            batch_size=16,
            epochs=2,
            keep_every_epochs=1,
            image_size=32,
        ),
        finish=False,
    )
    flags = [f"--model={run}", f"--data_dir={data}", f"--output={output}", "--probes=knn"]
    done = evaluate(repository, *flags, "--checkpoint=all", "--layer=projection")
    assert done.returncode == 0, done.stderr
    assert "checkpoint epoch-0001, step 2, its projection" in done.stdout
    assert re.search(r"^measure +epoch-0001 +epoch-0002.* +untrained +chance$", done.stdout, re.M)
    results = json.loads((output / "results.json").read_text())["checkpoints"]
    (first, *_) = results.values()
    assert first["meta"]["layer"] == "projection" and first["meta"]["checkpoint"] == "epoch-0001"
    assert "the output of the projection" in (output / "report.md").read_text()
    done = evaluate(repository, *flags, "--checkpoint=epoch-0003")
    assert done.returncode == 2 and "none named 'epoch-0003'" in done.stderr
