"""Evaluation of frozen features: measures, tasks, reports."""

from xsample_tf.evaluation.candidates import Candidate, TextEmbedder, untrained
from xsample_tf.evaluation.caption_map import CaptionMap, fit_caption_map
from xsample_tf.evaluation.evaluator import compare, evaluate, run_tasks
from xsample_tf.evaluation.features import Embed, Features, embedder, extract
from xsample_tf.evaluation.foreign import ForeignModel
from xsample_tf.evaluation.image_map import map_to_captions
from xsample_tf.evaluation.measures.base import MEASURES, Measure, of_labels
from xsample_tf.evaluation.measures.caption_neighbours import caption_cosine
from xsample_tf.evaluation.measures.caption_retrieval import caption_recall
from xsample_tf.evaluation.measures.effective_rank import rankme
from xsample_tf.evaluation.measures.graph_kl import graph_divergence
from xsample_tf.evaluation.measures.knn import knn_scores
from xsample_tf.evaluation.neighbour_sheet import Sheet, neighbour_sheet
from xsample_tf.evaluation.neighbours import nearest
from xsample_tf.evaluation.probes.logistic_regression import LinearProbe, fit_linear_probe
from xsample_tf.evaluation.ranking import accuracy, hits
from xsample_tf.evaluation.report import comparison, comparison_markdown, markdown, summary, table
from xsample_tf.evaluation.report_page import (
    REPORT,
    ImageScores,
    comparison_page,
    write_report,
)
from xsample_tf.evaluation.results import (
    DATA_DIRECTORY,
    START,
    UNTRAINED,
    Evaluation,
    Figure,
    Outcome,
    Score,
)
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.settings import Settings
from xsample_tf.evaluation.splits import Queries, Split, Splits
from xsample_tf.evaluation.tasks.base import TASKS, Task
from xsample_tf.evaluation.verdict import Interval, deciding, paired_interval

__all__ = [
    "DATA_DIRECTORY",
    "MEASURES",
    "PROBES",
    "REPORT",
    "START",
    "TASKS",
    "UNTRAINED",
    "Candidate",
    "CaptionMap",
    "Embed",
    "Evaluation",
    "Features",
    "Figure",
    "ForeignModel",
    "ImageScores",
    "Interval",
    "LinearProbe",
    "Measure",
    "Outcome",
    "Queries",
    "Runner",
    "Score",
    "Settings",
    "Sheet",
    "Split",
    "Splits",
    "Task",
    "TextEmbedder",
    "accuracy",
    "caption_cosine",
    "caption_recall",
    "compare",
    "comparison",
    "comparison_markdown",
    "comparison_page",
    "deciding",
    "embedder",
    "evaluate",
    "extract",
    "fit_caption_map",
    "fit_linear_probe",
    "graph_divergence",
    "hits",
    "knn_scores",
    "map_to_captions",
    "markdown",
    "nearest",
    "neighbour_sheet",
    "paired_interval",
    "rankme",
    "run_tasks",
    "summary",
    "table",
    "untrained",
    "write_report",
]


def __getattr__(name: str) -> object:
    """Returns `PROBES`, the names of the measures that need labels, once they are asked for."""
    if name == "PROBES":
        return of_labels()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
