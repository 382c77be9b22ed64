"""Checkpoints of runs, opened again for an evaluation."""

import json
import shutil

import numpy as np
import pytest
from helpers import small_run, tiny_data

from xsample_tf import evaluation
from xsample_tf.errors import InputError
from xsample_tf.training import checkpoints_of, load_candidate, load_encoder, load_start, train

IMAGES = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)

pytestmark = pytest.mark.usefixtures("small_backbone")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tiny_data.write(tmp_path_factory.mktemp("data"), train=32, val=16)


@pytest.fixture(scope="module")
def make(directory, small_backbone, tmp_path_factory):
    """Trains 4 steps, a checkpoint after every 2 of them, and returns the run's directory."""

    def run(objective, **more):
        run_dir = str(tmp_path_factory.mktemp("runs") / objective)
        options = small_run.options(
            data_dir=directory,
            run_dir=run_dir,
            objective=objective,
            batch_size=16,
            epochs=2,
            keep_every_epochs=1,
            evaluate_every_epochs=1,
            checkpoint_every_steps=2,
            **more,
        )
        train(options, log=lambda line: None, finish=False)
        return run_dir

    return run


@pytest.fixture(scope="module")
def xclr(make):
    return make("xclr")


def test_the_kept_checkpoints_are_named_by_their_steps(xclr, tmp_path):
    found = checkpoints_of(xclr)
    assert [name.split(" = ")[0] for name in found] == ["epoch-0001", "epoch-0002"]
    assert list(found.values()) == ["epoch-0001", "epoch-0002"]
    assert sum(name.endswith(" = best") for name in found) == 1
    run, lines = tmp_path / "run", []
    shutil.copytree(xclr, run)
    (run / "checkpoints" / "epoch-0001" / "state.index").write_bytes(b"x")
    assert "epoch-0001" not in checkpoints_of(str(run), lines.append).values()
    assert "state.index is not as it was written" in lines[0]
    with pytest.raises(InputError, match="checkpoint: none in"):
        checkpoints_of(str(tmp_path))


def test_a_projection_is_the_projector_behind_the_encoder(xclr):
    candidate, settings = load_candidate(xclr, "epoch-0001")
    encoder, _ = load_encoder(xclr, "epoch-0001")
    assert (settings["checkpoint"], settings["step"]) == ("epoch-0001", 2)
    np.testing.assert_allclose(candidate.encoder(IMAGES), encoder(IMAGES), rtol=1e-6)
    projected, _ = load_candidate(xclr, "epoch-0001", "projection")
    expected = candidate.projector(candidate.encoder(IMAGES))
    np.testing.assert_allclose(projected.encoder(IMAGES), expected, rtol=1e-5, atol=1e-6)
    assert projected.projector is None and projected.encoder.output_shape == (None, 8)
    other, _ = load_candidate(xclr, None, "projection")
    assert np.abs(other.encoder(IMAGES) - projected.encoder(IMAGES)).max() > 1e-4
    baseline, name = load_start(xclr, projected, "projection", seed=3)
    assert name == evaluation.UNTRAINED and baseline.encoder.output_shape == (None, 8)
    assert np.abs(baseline.encoder(IMAGES) - projected.encoder(IMAGES)).max() > 1e-4


def test_checkpoints_are_compared_in_one_table(xclr, directory):
    candidates = {name: load_candidate(xclr, one)[0] for name, one in checkpoints_of(xclr).items()}
    baseline, name = load_start(xclr, next(iter(candidates.values())))
    settings = evaluation.Settings(directory, image_size=8, log=lambda line: None)
    found = evaluation.compare(candidates, ["shards"], settings, baseline, name)
    results = {title: one.as_dict() for title, one in found.items()}
    head, *rows = evaluation.comparison(results).splitlines()
    assert head.split()[0] == "measure" and head.endswith("untrained  chance")
    assert all(title in head for title in candidates)
    for title, one in results.items():
        assert f"{title}: {one['verdict']['sentence']}" in rows
    values = {title: one["trained"]["caption_cosine"] for title, one in results.items()}
    assert rows[-1] == f"best: {max(values, key=values.get)}, by caption_cosine"
    (row,) = [row for row in rows if row.startswith("kNN top-1 accuracy (k 20")]
    shown = [f"{one['trained']['knn_top1']:.1%}" for one in results.values()]
    assert row.split()[-4:-2] == shown
    text = evaluation.comparison_markdown(results)
    assert "| measure | " + " | ".join(candidates) + " | untrained | chance |" in text


@pytest.mark.slow  # Trains a run of two towers.
def test_a_run_of_two_towers_has_its_text_side(make, directory, tmp_path):
    run = make("clip", projector_layers=1)
    settings = evaluation.Settings(directory, image_size=8, probes=[], log=lambda line: None)
    found = {}
    for layer in ("encoder", "projection"):
        candidate, _ = load_candidate(run, None, layer)
        found[layer] = evaluation.compare({"last": candidate}, ["shards"], settings)["last"]
    values = [one.as_dict()["trained"] for one in found.values()]
    # The towers meet in one place, whichever layer is measured otherwise.
    assert values[0]["tower_recall_at_5"] == values[1]["tower_recall_at_5"] > 0
    assert values[0]["rankme"] != values[1]["rankme"]
    moved, lines = tmp_path / "moved", []
    shutil.copytree(run, moved)
    options = (moved / "options.json").read_text().replace(directory, str(tmp_path / "gone"))
    (moved / "options.json").write_text(options)
    candidate, _ = load_candidate(str(moved), None, log=lines.append)
    assert candidate.text_embedder is None and candidate.projector is not None
    assert "the text tower of" in lines[0] and "is left out" in lines[0]


def test_a_run_without_a_projector_has_no_projection(directory, tmp_path):
    none = {"projector_dim": None, "projector_hidden": 2048}
    options = small_run.options(data_dir=directory, objective="cross_entropy", **none)
    (tmp_path / "options.json").write_text(json.dumps(options.as_flat()))
    with pytest.raises(InputError, match="layer: expected encoder, since objective 'cross_entropy"):
        load_candidate(str(tmp_path), None, "projection")
    with pytest.raises(InputError, match="run_dir: expected a run"):
        load_candidate("nowhere")
