"""SigLIP: each pair of image and text is told to be one, or not."""

from xsample_tf import losses
from xsample_tf.training.objectives.base import register
from xsample_tf.training.objectives.image_text import ImageText


@register("siglip")
class SigLIP(ImageText):
    """SigLIP: whether image and text belong together, for each pair by itself (2303.15343)."""

    presets = {"temperature": 0.1}
    fixed = {"graph": "instance", "target_temperature": "graph"}
    learns_bias = True

    def make_loss(self) -> losses.SigmoidContrastiveLoss:
        """Returns the loss over pairs, with SigLIP's first scale and bias."""
        return losses.SigmoidContrastiveLoss(temperature=self.options.temperature)
