"""Linear probe by gradient descent."""

from xsample_tf.evaluation.measures.base import MEASURES, Measure
from xsample_tf.evaluation.probes.gradient_descent import SGD_EPOCHS
from xsample_tf.evaluation.ranking import accuracies
from xsample_tf.evaluation.results import Figure, Score
from xsample_tf.evaluation.splits import Splits


@MEASURES.register("linear_sgd", options=[SGD_EPOCHS])
class LinearSGD(Measure):
    """Accuracy of the best of a grid of rates of SimCLR's rule, on stored features."""

    figures = (
        Figure("linear_sgd_top1", "linear probe (SGD) top-1 accuracy", "{:.1%}"),
        Figure("linear_sgd_top5", "linear probe (SGD) top-5 accuracy", "{:.1%}"),
    )
    needs = ("train", "labels")
    costly = True

    def __init__(self, sgd_epochs: int):
        del sgd_epochs  # `Splits.sgd_head` has it, which tasks share.

    def run(self, features: Splits) -> dict[str, Score]:
        """Returns top-1 and, of more than 5 classes, top-5 accuracy."""
        scores = features.sgd_head.scores(features.val.embeddings)
        labels = features.train.labels
        return accuracies("linear_sgd", scores, features.val.labels, labels, features.classes)
