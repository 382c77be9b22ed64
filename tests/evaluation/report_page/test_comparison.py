"""Scores of single images as files, and intervals between runs."""

import json

import numpy as np
import pytest
from helpers.plain_encoders import mean_color

from xsample_tf import evaluation
from xsample_tf.errors import InputError
from xsample_tf.evaluation.features import hashes_of
from xsample_tf.evaluation.report_page.comparison import Column, check_comparable, compare
from xsample_tf.evaluation.report_page.runs import Group, Run, group_by_settings, read_runs
from xsample_tf.evaluation.report_page.score_file import ImageScores
from xsample_tf.evaluation.results import Score
from xsample_tf.evaluation.verdict import Resampled, paired_interval

IMAGES = 60


def write_run(directory, scores, keys=None, settings=None, **more):
    """An evaluation of some figures as tools/train.py writes it; keys default to 0, 1, ..."""
    directory.mkdir(parents=True)
    keys = np.arange(IMAGES) if keys is None else np.asarray(keys)
    hashes = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    found = {
        name: Score(float(np.mean(values)), 0.1, np.asarray(values), hashes=hashes)
        for name, values in scores.items()
    }
    ImageScores.of({"trained": found}).write(directory / "scores.npz")
    meta = {"data_dir": "data", "image_size": 16, "limit": None, "seed": 0, "left_out": {}} | more
    results = {
        "trained": {name: score.value for name, score in found.items()} | {"rankme": 5.0},
        "chance": {"caption_cosine": 0.1},
        "meta": meta,
    }
    (directory / "results.json").write_text(json.dumps(results))
    if settings is not None:
        (directory / "options.json").write_text(json.dumps(settings))
    return str(directory)


def cosines(seed, shift=0.0):
    return np.random.default_rng(seed).normal(0.3 + shift, 0.1, IMAGES).astype(np.float32)


def test_the_interval_is_that_of_a_brute_force_bootstrap():
    ours, theirs = cosines(0), cosines(1)
    found = Resampled(np.stack([theirs, ours], axis=1), draws=500, seed=3).interval(1, 0)
    generator, means = np.random.default_rng(3), []
    for _ in range(500):
        drawn = generator.integers(IMAGES, size=IMAGES)
        means.append(np.mean([float(ours[row]) - float(theirs[row]) for row in drawn]))
    np.testing.assert_allclose(
        [found.mean, found.low, found.high],
        [np.mean(ours.astype(float) - theirs), *np.percentile(means, [2.5, 97.5])],
        rtol=1e-9,
    )


def test_the_table_and_the_verdict_have_one_interval(monkeypatch):
    ours, theirs = cosines(0), cosines(1)
    resampled = Resampled(np.stack([ours, theirs], axis=1))
    verdict = paired_interval(ours, theirs)
    found = resampled.interval(0, 1)
    np.testing.assert_allclose([found.low, found.high], [verdict.low, verdict.high], rtol=1e-9)
    alone = paired_interval(ours, np.zeros(IMAGES))
    np.testing.assert_allclose(resampled.interval(0).high, alone.high, rtol=1e-9)
    monkeypatch.setattr("xsample_tf.evaluation.verdict._NUMBERS_AT_A_TIME", 999)
    np.testing.assert_allclose(
        Resampled(np.stack([ours, theirs], axis=1)).interval(0, 1).low, found.low, rtol=1e-9
    )


def test_scores_come_back_as_they_were(tmp_path):
    hashes = np.arange(3, dtype=np.uint64) + np.uint64(2**63)
    scores = {
        "trained": {
            "mine/top1": Score(2 / 3, per_image=np.array([True, False, True]), hashes=hashes),
            "knn_top1": Score(0.5, per_image=np.array([0.0, 1, 0.5]), hashes=hashes.copy()),
            "unnamed": Score(0.0, per_image=np.zeros(2)),
            "rankme": Score(3.0),
        },
        "untrained": {"knn_top1": Score(0.0, per_image=np.zeros(3), hashes=hashes)},
    }
    ImageScores.of(scores).write(tmp_path / "scores.npz")
    found = ImageScores.read(tmp_path / "scores.npz")
    assert {name: set(own) for name, own in found.scores.items()} == {
        "trained": {"mine/top1", "knn_top1", "unnamed"},
        "untrained": {"knn_top1"},
    }
    np.testing.assert_array_equal(found.scores["trained"]["mine/top1"], [1, 0, 1])
    assert found.scores["trained"]["knn_top1"].dtype == np.float32
    assert set(found.hashes) == {"mine/top1", "knn_top1"}
    np.testing.assert_array_equal(found.hashes["mine/top1"], hashes)
    with np.load(tmp_path / "scores.npz") as file:  # Once for all figures of the same images.
        assert sum(name.startswith("images:") for name in file) == 1


def columns_of(*directories):
    return [Column.of(group) for group in group_by_settings(read_runs(directories))]


def test_images_are_paired_by_their_keys_whatever_their_order(tmp_path):
    ours, theirs, order = cosines(0), cosines(1), np.random.default_rng(2).permutation(IMAGES)
    paths = [
        write_run(tmp_path / "a", {"caption_cosine": theirs}),
        write_run(tmp_path / "b", {"caption_cosine": ours[order]}, keys=order),
    ]
    found = compare(columns_of(*paths), ["caption_cosine"]).differences[1, "caption_cosine"]
    spread = np.std(ours - theirs) / np.sqrt(IMAGES)
    assert found.mean == pytest.approx(np.mean(ours - theirs), abs=1e-6)
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.15)


def test_images_are_known_by_their_keys_at_any_size(data_dir):
    found = []
    for size in (16, 24):
        settings = evaluation.Settings(
            data_dir, probes=["knn"], image_size=size, log=lambda _: None
        )
        found.append(evaluation.run_tasks(mean_color, ["shards"], settings))
    first, second = (ImageScores.of(one.scores).hashes["knn_top1"] for one in found)
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first)) == 48
    images = np.random.default_rng(0).random((3, 4, 4, 3), np.float32)
    images[2] = images[0]
    assert hashes_of(images)[0] == hashes_of(images)[2] != hashes_of(images)[1]


def test_runs_on_other_images_are_refused_in_one_line(tmp_path):
    paths = [
        write_run(tmp_path / "a", {"caption_cosine": cosines(0)}),
        write_run(tmp_path / "b", {"caption_cosine": cosines(0)}, keys=np.arange(IMAGES) + 20),
    ]
    columns = columns_of(*paths)
    with pytest.raises(InputError) as caught:
        check_comparable(columns, compare(columns, ["caption_cosine"]))
    assert str(caught.value) == (
        "compare: expected evaluations of the same images, and those of b and a differ: 40 images "
        "are the same, of 60 and 60; evaluate both on one --data_dir"
    )
    with pytest.raises(InputError, match="expected evaluations of the same images"):
        evaluation.comparison_page(paths)


def test_runs_that_differ_in_the_seed_alone_are_one(tmp_path):
    paths, values = [], {}
    for name, rate, shift in (("first", 0.1, 0.0), ("second", 0.2, 0.1)):
        for seed in (0, 1):
            own = cosines(10 * seed + int(10 * rate), shift)
            values[name, seed] = own
            settings = {"seed": seed, "run_dir": f"{name}-{seed}", "rate": rate}
            path = tmp_path / name / f"seed-{seed}"
            paths.append(write_run(path, {"caption_cosine": own}, settings=settings))
    columns = columns_of(*paths)
    assert [(one.name, len(one.members)) for one in columns] == [("first", 2), ("second", 2)]
    found = compare(columns, ["caption_cosine"]).differences[1, "caption_cosine"]
    means = [np.mean([values[name, seed] for seed in (0, 1)], 0) for name in ("second", "first")]
    assert found.low == pytest.approx(paired_interval(*means).low, abs=1e-6)
    page = evaluation.comparison_page(paths)
    both = [np.mean(values["second", seed]) for seed in (0, 1)]
    shown = f'{np.mean(both):.3f} <span class="half">± {np.std(both, ddof=1):.3f} (2 seeds)'
    assert shown in page
    assert "<td>rate</td><td>0.1</td><td>0.2</td>" in page and "<td>seed</td>" not in page
    assert "second: better than first: caption cosine of nearest images +" in page
    error = np.sqrt(
        sum(
            np.var(own, ddof=1) / 2 for own in (both, [np.mean(values["first", s]) for s in (0, 1)])
        )
    )
    assert f"By the seeds its standard error is {error:.3f}." in page


def test_seeds_on_other_images_are_refused(tmp_path):
    paths = [
        write_run(
            tmp_path / f"seed-{seed}",
            {"caption_cosine": cosines(0)},
            keys=np.arange(IMAGES) + seed,
            settings={"seed": seed},
        )
        for seed in (0, 1)
    ]
    with pytest.raises(
        InputError, match="of the same images, and those of the seeds of seed differ"
    ):
        evaluation.comparison_page(paths)


def test_evaluations_know_the_run_that_they_are_of(tmp_path):
    """By the run that the export is in, or by the export's own card where it was moved."""
    paths = []
    for seed in (0, 1):
        export = tmp_path / f"run-{seed}" / "export"
        export.mkdir(parents=True)
        settings = {"seed": seed, "rate": 1}
        if seed:
            (export / "model_card.json").write_text(json.dumps({"settings": settings}))
        else:
            (export.parent / "options.json").write_text(json.dumps(settings))
            (export.parent / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
        model = str(export / "saved_model")
        path = tmp_path / f"evaluation-{seed}"
        paths.append(write_run(path, {"caption_cosine": cosines(seed)}, model=model))
    runs = read_runs(paths)
    assert [run.settings["seed"] for run in runs] == [0, 1]
    assert [len(run.lines) for run in runs] == [1, 0]
    assert [group.name for group in group_by_settings(runs)] == ["evaluation"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("a/seed-0", "a/seed-1"), "a"),
        (("run-10", "run-11"), "run"),
        (("cifar100", "cifar100/seed-1"), "cifar100"),
        (("cifar100_0", "cifar100_1"), "cifar100"),
        (("x", "y"), "x and 1 more"),
    ],
)
def test_seeds_are_called_by_what_their_names_share(names, expected):
    runs = [
        Run(name, {"meta": {}}, ImageScores({}, {}), {"seed": seed})
        for seed, name in enumerate(names)
    ]
    assert [group.name for group in group_by_settings(runs)] == [expected]


def test_a_figure_that_a_seed_lacks_has_no_interval(tmp_path):
    paths = []
    for name, seed in (("a", 0), ("b", 0), ("b", 1)):
        scores = {"caption_cosine": cosines(seed)}
        scores |= {} if seed else {"knn_top1": cosines(2)}
        settings = {"seed": seed, "name": name}
        paths.append(write_run(tmp_path / name / f"{seed}", scores, settings=settings))
    columns = columns_of(*paths)
    found = compare(columns, ["caption_cosine", "knn_top1"])
    assert found.reasons == {(1, "knn_top1"): "not all seeds have it"}
    assert set(found.differences) == {(1, "caption_cosine")}


def test_the_same_seed_twice_is_no_seed_more():
    meta = {"meta": {"data_dir": "d"}}
    runs = [Run(f"r{i}", meta, ImageScores({}, {}), {"seed": 0, "rate": 1}) for i in (0, 1)]
    assert [group.name for group in group_by_settings(runs)] == ["r0", "r1"]
    unknown = [Run(f"r{i}", meta, ImageScores({}, {})) for i in (0, 1)]
    assert group_by_settings(unknown) == [Group(run.name, (run,)) for run in unknown]


def test_what_cannot_be_compared_says_why(tmp_path):
    paths = [
        write_run(tmp_path / "a", {"caption_cosine": cosines(0), "kl": cosines(0)}),
        write_run(tmp_path / "b", {"caption_cosine": cosines(1), "knn_top1": np.ones(IMAGES)}),
    ]
    found = compare(columns_of(*paths), ["caption_cosine", "kl", "knn_top1", "rankme"])
    assert set(found.differences) == {(1, "caption_cosine")}
    assert found.reasons == {(1, "knn_top1"): "only one of them has it", (1, "rankme"): NO_MEAN}


NO_MEAN = "no mean over images"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: (path / "scores.npz").unlink(), "b/scores.npz: expected the scores of"),
        (lambda path: (path / "scores.npz").write_bytes(b"PK\3\4no"), "that cannot be read"),
        (lambda path: (path / "results.json").write_text("{}"), "with the results.json and"),
        (lambda path: (path / "results.json").unlink(), "FileNotFoundError"),
    ],
)
def test_a_directory_without_an_evaluation_is_one_line(tmp_path, spoil, words):
    paths = [write_run(tmp_path / name, {"caption_cosine": cosines(0)}) for name in "ab"]
    spoil(tmp_path / "b")
    with pytest.raises(InputError, match=words) as caught:
        evaluation.comparison_page(paths)
    assert "\n" not in str(caught.value)


def test_two_different_directories_are_needed(tmp_path):
    path = write_run(tmp_path / "a", {"caption_cosine": cosines(0)})
    for paths in ([path], [path, path + "/"], []):
        with pytest.raises(InputError, match="expected two or more different directories"):
            evaluation.comparison_page(paths)
