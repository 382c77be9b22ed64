"""Evaluation of frozen features: probes with labels, measures without, reports."""

from xsample_tf.evaluation.baseline import untrained
from xsample_tf.evaluation.evaluator import PROBES, evaluate
from xsample_tf.evaluation.features import Features, embedder, extract
from xsample_tf.evaluation.measures.caption_neighbours import caption_cosine
from xsample_tf.evaluation.measures.caption_retrieval import caption_recall
from xsample_tf.evaluation.measures.effective_rank import rankme
from xsample_tf.evaluation.measures.graph_kl import graph_divergence
from xsample_tf.evaluation.measures.knn import knn_scores
from xsample_tf.evaluation.measures.linear_probe import LinearProbe, fit_linear_probe
from xsample_tf.evaluation.neighbour_sheet import neighbour_sheet
from xsample_tf.evaluation.neighbours import nearest
from xsample_tf.evaluation.ranking import accuracy
from xsample_tf.evaluation.report import markdown, summary, table

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
