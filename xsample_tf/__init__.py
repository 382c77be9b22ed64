"""X-Sample Contrastive training for TensorFlow and Keras 3."""

import xsample_tf.backend  # noqa: F401  First, since Keras reads its settings when imported.
from xsample_tf import data, evaluation, graphs, losses, models, text, training
from xsample_tf.errors import InputError
from xsample_tf.export import export
from xsample_tf.losses import ImageTextContrastiveLoss, XSampleContrastiveLoss
from xsample_tf.models import XSampleModel
from xsample_tf.version import __version__

__all__ = [
    "ImageTextContrastiveLoss",
    "InputError",
    "XSampleContrastiveLoss",
    "XSampleModel",
    "__version__",
    "data",
    "evaluation",
    "export",
    "graphs",
    "losses",
    "models",
    "text",
    "training",
]
