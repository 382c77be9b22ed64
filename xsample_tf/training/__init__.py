"""Training runs: options in, a trained, evaluated and exported encoder out."""

from xsample_tf.training import objectives, optimizers, preflight, text_towers
from xsample_tf.training.interruption import Interrupted
from xsample_tf.training.model import read_start
from xsample_tf.training.options import Options
from xsample_tf.training.run import train
from xsample_tf.training.run_directory import load_encoder
from xsample_tf.training.trained.candidates import checkpoints_of, load_candidate, load_start
from xsample_tf.training.trained.exported import export_run

__all__ = [
    "Interrupted",
    "Options",
    "checkpoints_of",
    "export_run",
    "load_candidate",
    "load_encoder",
    "load_start",
    "objectives",
    "optimizers",
    "preflight",
    "read_start",
    "text_towers",
    "train",
]
