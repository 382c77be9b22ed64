"""SupCon: the other views of a class among all views of the batch."""

from xsample_tf.training.objectives.base import register
from xsample_tf.training.objectives.x_sample import XSample


@register("supcon")
class SupCon(XSample):
    """Supervised contrastive learning: views of a class are alike (L_out, arXiv 2004.11362)."""

    fixed = {"graph": "label", "target_temperature": "graph"}
