"""Captions to unit vectors: prompt templates, and text encoders by handle."""

from xsample_tf.templates import fill_template
from xsample_tf.text.convert import convert
from xsample_tf.text.encoder import TextEncoder
from xsample_tf.text.load import load_encoder

__all__ = ["TextEncoder", "convert", "fill_template", "load_encoder"]
