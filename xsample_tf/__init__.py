"""X-Sample Contrastive training for TensorFlow and Keras 3."""

from xsample_tf.version import __version__

__all__ = ["__version__"]
