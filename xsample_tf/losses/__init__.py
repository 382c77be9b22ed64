"""Losses: the cross-sample contrastive loss and what its target looks like."""

from xsample_tf.losses.contrastive import XSampleContrastiveLoss, contrastive_rows
from xsample_tf.losses.targets import TargetSummary, solve_target_temperature, summarize_target

__all__ = [
    "TargetSummary",
    "XSampleContrastiveLoss",
    "contrastive_rows",
    "solve_target_temperature",
    "summarize_target",
]
