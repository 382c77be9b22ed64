"""A training run that is over in a moment, whichever backbone its options name."""

import keras

from helpers.small_model import small_encoder
from xsample_tf import models
from xsample_tf.training import Options

SETTINGS = {
    "backbone": "resnet18",
    "image_size": 8,
    "projector_hidden": 16,
    "projector_dim": 8,
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "warmup_epochs": 1.0,
    "blur": False,
}


def options(**settings) -> Options:
    return Options(**SETTINGS | settings)


def backbone(
    name, image_size, small_images=False, synchronized_batch_norm=None, normalization=None
) -> keras.Model:
    """Takes the place of `models.backbone`, with its arguments."""
    assert name in models.BACKBONES
    return small_encoder(image_size, synchronized_batch_norm is not False)
