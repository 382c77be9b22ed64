"""Losses: the cross-sample contrastive losses and what their target looks like."""

from xsample_tf.losses.contrastive import ImageTextContrastiveLoss, XSampleContrastiveLoss
from xsample_tf.losses.rows import contrastive_rows, image_text_rows
from xsample_tf.losses.targets import TargetSummary, solve_target_temperature, summarize_target

__all__ = [
    "ImageTextContrastiveLoss",
    "TargetSummary",
    "XSampleContrastiveLoss",
    "contrastive_rows",
    "image_text_rows",
    "solve_target_temperature",
    "summarize_target",
]
