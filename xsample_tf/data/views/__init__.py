"""Augmentation policies by name, and the operations that they are made of."""

from xsample_tf.data.views.autoaugment import AutoAugment
from xsample_tf.data.views.base import AUGMENTATIONS, ViewPolicy, register
from xsample_tf.data.views.crops import Crops
from xsample_tf.data.views.evaluation import Evaluation
from xsample_tf.data.views.simclr import SimCLR

__all__ = [
    "AUGMENTATIONS",
    "AutoAugment",
    "Crops",
    "Evaluation",
    "SimCLR",
    "ViewPolicy",
    "register",
]
