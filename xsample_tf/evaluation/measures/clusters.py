"""Agreement of clusters with classes."""

from xsample_tf.evaluation.measures.base import MEASURES, Measure
from xsample_tf.evaluation.probes.clusters import k_means, normalized_mutual_information
from xsample_tf.evaluation.results import Figure, Score
from xsample_tf.evaluation.splits import Splits


@MEASURES.register("clusters")
class Clusters(Measure):
    """Normalised mutual information of k-means clusters of `val` and its classes."""

    figures = (Figure("kmeans_nmi", "k-means, normalised mutual information with the classes"),)
    needs = ("labels",)
    costly = True

    def run(self, features: Splits) -> dict[str, Score]:
        """Returns it for as many clusters as there are classes; it is no mean over images."""
        val = features.val
        clusters = min(features.classes, len(val))
        found = k_means(val.embeddings, clusters, features.settings.seed)
        return {"kmeans_nmi": Score(normalized_mutual_information(found, val.labels))}
