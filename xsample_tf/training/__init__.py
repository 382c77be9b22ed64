"""Training runs: options in, a trained, evaluated and exported encoder out."""

from xsample_tf.training import objectives, optimizers, preflight, text_towers
from xsample_tf.training.interruption import Interrupted
from xsample_tf.training.model import read_start
from xsample_tf.training.options import Options
from xsample_tf.training.run import export_run, train
from xsample_tf.training.run_directory import load_encoder

__all__ = [
    "Interrupted",
    "Options",
    "export_run",
    "load_encoder",
    "objectives",
    "optimizers",
    "preflight",
    "read_start",
    "text_towers",
    "train",
]
