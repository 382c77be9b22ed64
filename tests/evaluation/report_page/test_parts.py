"""The numbers behind the page's pictures, beside plain NumPy."""

import numpy as np
import pytest

from xsample_tf.evaluation import Settings, Split, Splits
from xsample_tf.evaluation.measures.knn import KNN
from xsample_tf.evaluation.report_page import classes, curves, embeddings, gallery
from xsample_tf.evaluation.report_page.runs import Group, Run
from xsample_tf.evaluation.report_page.score_file import ImageScores
from xsample_tf.evaluation.results import Evaluation, Score

CLASSES = 4


@pytest.fixture
def splits():
    """Random features that know a little of their labels; some images have none."""
    random = np.random.default_rng(0)

    def split(count):
        labels = random.integers(-1, CLASSES, count)
        features = random.normal(size=(count, 6)) + np.eye(CLASSES + 1, 6)[labels] * 2
        captions = np.eye(CLASSES + 1, 5)[labels] + 0.1 * random.normal(size=(count, 5))
        hashes = np.arange(count, dtype=np.uint64)
        return Split(features.astype(np.float32), labels, captions, hashes=hashes)

    return Splits(split(80), split(60), CLASSES, Settings(log=lambda line: None))


def test_predictions_are_those_of_the_figure(splits):
    found = classes.predict(splits)
    labelled = splits.having(("train", "labels"))
    assert found.by == "kNN of 20 neighbours"
    accuracy = KNN().run(labelled)["knn_top1"].value
    assert np.trace(found.counts) / found.counts.sum() == pytest.approx(accuracy)
    assert found.counts.sum() == len(labelled.val) < 60
    for one in range(CLASSES):
        assert found.counts[one].sum() == np.sum(splits.val.labels == one)
    labelled.head  # noqa: B018  Once it is fitted, its predictions are taken.
    found = classes.predict(splits)
    taken = labelled.head.scores(labelled.val.embeddings).argmax(axis=1)
    expected = [
        [np.sum((labelled.val.labels == a) & (taken == b)) for b in range(CLASSES)]
        for a in range(CLASSES)
    ]
    assert found.by == "the linear probe"
    np.testing.assert_array_equal(found.counts, expected)
    share = (expected[0][1] + expected[1][0]) / (sum(expected[0]) + sum(expected[1]))
    assert classes.confused(found)[0, 1] == pytest.approx(share)


def test_related_classes_are_those_of_like_captions_and_stand_together():
    captions = np.array([[1, 0, 0], [0, 1, 0], [1, 0.1, 0], [0, 1, 0.1]], np.float32)
    labels = np.array([0, 1, 2, 3])
    alike = classes.relatedness(Split(captions, labels, captions), 4)
    assert alike[0, 2] > 0.99 and alike[1, 3] > 0.99 and alike[0, 1] == pytest.approx(0)
    order = classes.class_order(alike).tolist()
    assert abs(order.index(0) - order.index(2)) == abs(order.index(1) - order.index(3)) == 1
    assert classes.relatedness(Split(captions, labels, captions), 5) is None  # One has no image.
    assert classes.relatedness(Split(captions, labels), 4) is None


def test_errors_among_related_classes_are_counted():
    count = 12
    place = np.arange(count)
    alike = -np.abs(place[:, None] - place[None, :]).astype(float)
    counts = 8 * np.eye(count, dtype=int)
    counts[0, 1] = counts[6, 5] = 1  # Beside, and far away.
    counts[0, 11] = counts[11, 0] = 1
    one = classes.Predictions("kNN", counts)
    text = classes._among_related({"trained": one}, count, alike)
    assert text.startswith("Of all errors, 50% (trained) take") and "it would be 45%" in text


def test_neighbours_are_the_nearest_others(splits):
    twins = splits.val.embeddings
    twins[1] = 2 * twins[0]  # An equal direction is a neighbour, the image itself is none.
    gain = np.zeros(60)
    gain[[7, 9]] = 1.0, -1.0
    scores = {
        "trained": {"caption_cosine": Score(0.0, per_image=gain, rows=np.arange(60))},
        "untrained": {"caption_cosine": Score(0.0, per_image=gain * 0, rows=np.arange(60))},
    }
    found = gallery.choose(Evaluation(scores, {}, splits={"trained": splits}))
    reasons = dict(found.queries)
    assert reasons[7] in ("gained", "drawn") and reasons[9] in ("lost", "drawn")
    assert sum(why != "drawn" for why in reasons.values()) <= 2
    unit = twins / np.linalg.norm(twins, axis=1, keepdims=True)
    cosines, rows = found.neighbours["trained"]
    for (query, _), own, values in zip(found.queries, rows, cosines, strict=True):
        others = [row for row in range(60) if row != query]
        expected = sorted(others, key=lambda row: -float(unit[row] @ unit[query]))[:6]
        np.testing.assert_allclose(values, [unit[row] @ unit[query] for row in expected], atol=1e-5)
        assert query not in own
    assert set(found.rows) == set(rows.ravel()) | set(reasons)


def test_the_map_is_that_of_principal_components():
    random = np.random.default_rng(1)
    features = random.normal(size=(50, 5)) * [3, 2, 1, 0.5, 0.1] + [0, 0, 0, 0, 4]
    places, share = embeddings.principal_axes(features)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    centred = unit - unit.mean(axis=0)
    _, sigma, axes = np.linalg.svd(centred)
    np.testing.assert_allclose(np.abs(places), np.abs(centred @ axes[:2].T), atol=1e-4)
    assert share == pytest.approx(np.sum(sigma[:2] ** 2) / np.sum(sigma**2), rel=1e-4)
    flat, whole = embeddings.principal_axes(features[:, :1])  # One dimension, two directions.
    assert flat.shape == (50, 2) and not flat[:, 1].any() and whole in (0.0, pytest.approx(1))


def test_the_spectrum_is_that_of_the_singular_values(splits):
    section = embeddings.spectrum_section({"trained": splits})
    sigma = np.linalg.svd(splits.val.embeddings, compute_uv=False)
    points = section.data["encoders"][0]["points"]
    assert [k for k, _ in points] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose([value for _, value in points], sigma / sigma[0], rtol=1e-3)


def test_curves_keep_their_ends():
    lines = [{"step": step, "loss": float(step)} for step in range(1, 1001)]
    run = Run("r", {}, ImageScores({}, {}), lines=lines)
    (chart,) = curves.curves_section([Group("r", (run,))]).data["charts"]
    points = chart["series"][0]["points"]
    assert points[0] == [1, 1.0] and points[-1] == [1000, 1000.0] and len(points) <= 402
