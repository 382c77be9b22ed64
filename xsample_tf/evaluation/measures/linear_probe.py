"""Linear probe."""

from xsample_tf.evaluation.measures.base import MEASURES, Measure
from xsample_tf.evaluation.ranking import accuracies
from xsample_tf.evaluation.results import Figure, Score
from xsample_tf.evaluation.splits import Splits


@MEASURES.register("linear")
class LinearAccuracy(Measure):
    """Accuracy of multinomial logistic regression on frozen features."""

    figures = (
        Figure("linear_top1", "linear probe top-1 accuracy", "{:.1%}", brief="linear"),
        Figure("linear_top5", "linear probe top-5 accuracy", "{:.1%}"),
    )
    needs = ("train", "labels")

    def run(self, features: Splits) -> dict[str, Score]:
        """Returns top-1 and, of more than 5 classes, top-5 accuracy."""
        scores = features.head.scores(features.val.embeddings)
        train_labels = features.train.labels
        return accuracies("linear", scores, features.val.labels, train_labels, features.classes)
