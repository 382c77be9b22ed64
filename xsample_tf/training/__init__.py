"""Training runs: options in, a trained, evaluated and exported encoder out."""

from xsample_tf.training import objectives, optimizers, preflight
from xsample_tf.training.interruption import Interrupted
from xsample_tf.training.options import Options
from xsample_tf.training.run import train
from xsample_tf.training.run_directory import load_encoder

__all__ = [
    "Interrupted",
    "Options",
    "load_encoder",
    "objectives",
    "optimizers",
    "preflight",
    "train",
]
