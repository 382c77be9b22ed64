"""`report.html` and `scores.npz`: an evaluation as a page, and runs side by side."""

from xsample_tf.evaluation.report_page.build import (
    REPORT,
    comparison_page,
    evaluation_page,
    write_report,
)
from xsample_tf.evaluation.report_page.score_file import ImageScores

__all__ = ["REPORT", "ImageScores", "comparison_page", "evaluation_page", "write_report"]
