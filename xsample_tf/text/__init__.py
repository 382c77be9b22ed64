"""Captions to unit vectors: prompt templates, and text encoders by handle."""

from xsample_tf.templates import fill_template
from xsample_tf.text.convert import convert
from xsample_tf.text.encoder import TextEncoder
from xsample_tf.text.load import check_probe, graph_of, load_encoder
from xsample_tf.text.tokenizers.learn import learn_vocabulary
from xsample_tf.text.tokenizers.padded import PaddedTokenizer

__all__ = [
    "PaddedTokenizer",
    "TextEncoder",
    "check_probe",
    "convert",
    "fill_template",
    "graph_of",
    "learn_vocabulary",
    "load_encoder",
]
