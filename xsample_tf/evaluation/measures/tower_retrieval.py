"""Text to image retrieval by the two towers themselves."""

from xsample_tf.arrays import unit_rows
from xsample_tf.evaluation.measures.base import MEASURES, Measure
from xsample_tf.evaluation.ranking import RANKS, text_recall
from xsample_tf.evaluation.results import Figure, Score
from xsample_tf.evaluation.splits import Splits


@MEASURES.register("tower_recall")
class TowerRecall(Measure):
    """Text to image recall of a model of two towers: each caption looks for its image."""

    figures = tuple(
        Figure(f"tower_recall_at_{k}", f"text to image recall@{k} of the towers", "{:.1%}")
        for k in RANKS
    )

    def run(self, features: Splits) -> dict[str, Score]:
        """Returns recall at 1, 5 and 10; nothing where there is no text tower, or no caption."""
        texts = features.val.text_projections
        if texts is None or features.val.towers_apart:
            return {}
        queries, images = unit_rows(texts.content), unit_rows(features.val.among_texts)
        found = text_recall(queries, texts.images, images)
        return {f"tower_recall_at_{k}": score for k, score in found.items()}
