"""Encoders that exist already, as where training starts: one file for each kind of source."""

from xsample_tf.models.pretrained.base import KINDS, Kind, Pretrained, Request, register
from xsample_tf.models.pretrained.keras_file import read_keras
from xsample_tf.models.pretrained.load import (
    kind_of,
    load_encoder,
    load_pretrained,
    with_whole_path,
)
from xsample_tf.models.pretrained.rebuilt import in_policy

__all__ = [
    "KINDS",
    "Kind",
    "Pretrained",
    "Request",
    "in_policy",
    "kind_of",
    "load_encoder",
    "load_pretrained",
    "read_keras",
    "register",
    "with_whole_path",
]
