"""SimCLR: the other views of an image among all views of the batch."""

from xsample_tf.training.objectives.base import register
from xsample_tf.training.objectives.x_sample import XSample


@register("simclr")
class SimCLR(XSample):
    """SimCLR: only views of the same image are alike (NT-Xent, arXiv 2002.05709)."""

    fixed = {"graph": "instance", "target_temperature": "graph"}
    progress = ("loss",)
