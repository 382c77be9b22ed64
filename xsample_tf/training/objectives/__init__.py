"""Objectives: what a run trains for, one file each."""

from xsample_tf.training.objectives.base import Objective, make_objective, register
from xsample_tf.training.objectives.x_sample import XSample

__all__ = ["Objective", "XSample", "make_objective", "register"]
