import numpy as np
import pytest
import tensorflow as tf
from helpers import frozen_features, tiny_data
from helpers.plain_encoders import mean_color

from xsample_tf import evaluation
from xsample_tf.evaluation import MEASURES, Queries, Split, Splits


def test_towers_are_measured_where_they_meet_and_nothing_elsewhere():
    measure = MEASURES.make("tower_recall", values={})
    assert measure.run(frozen_features.splits()) == {}
    projected = np.eye(4, dtype=np.float32)
    texts = Queries(np.array([0, 1, 1, 3]), projected[[0, 1, 2, 3]] * 7)
    embeddings, labels = np.ones((4, 2), np.float32), np.zeros(4)
    val = Split(embeddings, labels, None, lambda: projected, project_texts=lambda: texts)
    found = measure.run(Splits(None, val, 0, frozen_features.splits().settings))
    # Of image 1 one caption of two is found at once; image 2 has none, and counts for nothing.
    assert found["tower_recall_at_1"].value == pytest.approx((1 + 0.5 + 1) / 3)
    assert found["tower_recall_at_1"].per_image is None
    assert found["tower_recall_at_5"].value == 1
    kept = val.where(np.array([True, True, False, True])).text_projections
    np.testing.assert_array_equal(kept.images, [0, 1, 1, 2])


@pytest.mark.parametrize("takes", ["vectors", "texts"])
def test_an_evaluation_takes_the_text_tower_of_a_model(tmp_path, takes):
    """A tower that knows which colour a caption names finds an image of that colour."""
    directory = tiny_data.write(tmp_path)
    colors = tf.constant(tiny_data.COLORS / 255 - 0.5, tf.float32)
    received = []

    def embed(captions):
        received.append(len(captions))
        if takes == "vectors":
            return tf.gather(colors, tf.argmax(captions[:, : len(colors)], axis=1))
        last = tf.strings.regex_replace(captions, "colour number ", "")
        return tf.gather(colors, tf.strings.to_number(last, tf.int32))

    results = evaluation.evaluate(
        mean_color,
        directory,
        baseline=mean_color,
        image_size=16,
        batch_size=32,
        text_embedder=evaluation.TextEmbedder(takes, embed),
    )
    assert received == [32, 16]
    found = {name: value for name, value in results["trained"].items() if "tower" in name}
    assert found == {f"tower_recall_at_{k}": 1 for k in (1, 5, 10)}
    assert results["chance"]["tower_recall_at_1"] == pytest.approx(8 / 48)
    assert not [name for name in results["untrained"] if "tower" in name]
    assert "text to image recall@5 of the towers" in evaluation.table(results)
