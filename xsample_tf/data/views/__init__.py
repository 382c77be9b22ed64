"""Augmentation policies, and the operations that they are made of."""

from xsample_tf.data.views.policies import AutoAugment, Evaluation, SimCLR

__all__ = ["AutoAugment", "Evaluation", "SimCLR"]
