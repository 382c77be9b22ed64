"""CLIP: an image's own text among all texts of the batch, and the other way round."""

from xsample_tf.training.objectives.base import register
from xsample_tf.training.objectives.image_text import ImageText


@register("clip")
class CLIP(ImageText):
    """CLIP: image and text find each other in the batch (arXiv 2103.00020)."""

    fixed = {"graph": "instance", "target_temperature": "graph"}
