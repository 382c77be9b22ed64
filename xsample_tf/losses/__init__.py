"""Losses: the cross-sample contrastive losses and what their target looks like."""

from xsample_tf.graphs.inspection import TargetSummary, solve_target_temperature, summarize_target
from xsample_tf.losses.base import ContrastiveLoss
from xsample_tf.losses.cross_entropy import CrossEntropyLoss
from xsample_tf.losses.functional import contrastive_rows, image_text_rows
from xsample_tf.losses.image_text import ImageTextContrastiveLoss
from xsample_tf.losses.sigmoid import SigmoidContrastiveLoss
from xsample_tf.losses.weighted import WeightedLosses
from xsample_tf.losses.x_sample import XSampleContrastiveLoss

__all__ = [
    "ContrastiveLoss",
    "CrossEntropyLoss",
    "ImageTextContrastiveLoss",
    "SigmoidContrastiveLoss",
    "TargetSummary",
    "WeightedLosses",
    "XSampleContrastiveLoss",
    "contrastive_rows",
    "image_text_rows",
    "solve_target_temperature",
    "summarize_target",
]
