"""Captions to unit vectors: prompt templates, and text encoders by handle."""

from xsample_tf.text.convert import convert
from xsample_tf.text.encoder import TextEncoder
from xsample_tf.text.handles import load_encoder
from xsample_tf.text.templates import fill_template

__all__ = ["TextEncoder", "convert", "fill_template", "load_encoder"]
