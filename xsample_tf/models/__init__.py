"""Backbones by name or with their weights, projection heads, and the models that train them."""

from xsample_tf.models.contrastive import XSampleModel
from xsample_tf.models.image_text import ImageTextModel
from xsample_tf.models.networks.backbones import BACKBONES, backbone, synchronize_batch_norm
from xsample_tf.models.networks.projectors import projector
from xsample_tf.models.networks.text_tower import text_tower
from xsample_tf.models.pretrained import load_encoder

__all__ = [
    "BACKBONES",
    "ImageTextModel",
    "XSampleModel",
    "backbone",
    "load_encoder",
    "projector",
    "synchronize_batch_norm",
    "text_tower",
]
