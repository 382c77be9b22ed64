"""Evaluation of frozen features: probes with labels, measures without, reports."""

from xsample_tf.evaluation.evaluator import PROBES, evaluate
from xsample_tf.evaluation.features import Features, embedder, extract, untrained
from xsample_tf.evaluation.neighbours import accuracy, knn_scores, nearest
from xsample_tf.evaluation.probes import LinearProbe, fit_linear_probe
from xsample_tf.evaluation.report import markdown, summary, table
from xsample_tf.evaluation.sheet import neighbour_sheet
from xsample_tf.evaluation.unlabelled import (
    caption_cosine,
    caption_recall,
    graph_divergence,
    rankme,
)

__all__ = [
    "PROBES",
    "Features",
    "LinearProbe",
    "accuracy",
    "caption_cosine",
    "caption_recall",
    "embedder",
    "evaluate",
    "extract",
    "fit_linear_probe",
    "graph_divergence",
    "knn_scores",
    "markdown",
    "nearest",
    "neighbour_sheet",
    "rankme",
    "summary",
    "table",
    "untrained",
]
