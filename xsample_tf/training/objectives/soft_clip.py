"""CLIP with soft targets: texts that are alike share an image's target."""

from xsample_tf.training.objectives.base import register
from xsample_tf.training.objectives.image_text import ImageText


@register("soft_clip")
class SoftCLIP(ImageText):
    """CLIP whose target is a graph's, between images and texts (as SoftCLIP, arXiv 2303.17561)."""

    presets = {"graph": "cosine"}

    @property
    def progress(self) -> tuple[str, ...]:
        """The KL divergence, which is 0 where the target is met, beside what CLIP shows."""
        loss, *learned = super().progress
        return loss, "kl", *learned
