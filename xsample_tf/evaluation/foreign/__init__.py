"""Models that others wrote, for evaluation: what they take, and how they are called."""

from xsample_tf.evaluation.foreign.model import ForeignModel, opened
from xsample_tf.evaluation.foreign.signatures import Choice, Signature, choose

__all__ = ["Choice", "ForeignModel", "Signature", "choose", "opened"]
