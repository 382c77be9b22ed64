"""Before a long run: what its machine computes, checked, and what limits it, measured."""

from xsample_tf.training.preflight.inspection import inspect

__all__ = ["inspect"]
