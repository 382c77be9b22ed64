import pytest
from helpers import frozen_features

from xsample_tf.evaluation import MEASURES
from xsample_tf.evaluation.measures import base
from xsample_tf.evaluation.probes.clusters import k_means, normalized_mutual_information


def test_clusters_of_val_are_compared_with_its_classes():
    features = frozen_features.splits(val=90, classes=4)
    (score,) = MEASURES.make("clusters", values={}).run(features).values()
    found = k_means(features.val.embeddings, 4, seed=0)
    assert score.value == normalized_mutual_information(found, features.val.labels)
    assert 0.2 < score.value < 1 and score.per_image is None


@pytest.mark.parametrize("probe", ["clusters", "few_shot", "linear_sgd"])
def test_costly_probes_run_only_where_they_are_asked_for(probe):
    assert probe not in base.make(None, {}) and probe in base.make([probe], {})
