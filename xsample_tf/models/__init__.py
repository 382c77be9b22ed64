"""Backbones by name, projection heads, and the model that trains them."""

from xsample_tf.models.backbones import BACKBONES, backbone, synchronize_batch_norm
from xsample_tf.models.contrastive import XSampleModel
from xsample_tf.models.projectors import projector

__all__ = ["BACKBONES", "XSampleModel", "backbone", "projector", "synchronize_batch_norm"]
