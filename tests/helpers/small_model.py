"""A model small enough to be trained under every strategy, and batches for it."""

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.losses import XSampleContrastiveLoss
from xsample_tf.models import XSampleModel, synchronize_batch_norm

BATCH = 8


def small_encoder(image_size, synchronized=True):
    """Images `[B, image_size, image_size, 3]` to `[B, 6]`."""
    encoder = keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            keras.layers.Conv2D(6, 3, kernel_regularizer=keras.regularizers.L2(0.01)),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    return synchronize_batch_norm(encoder) if synchronized else encoder


def small_model(dtype="float32", optimizer=None, **arguments):
    """Compiled; under the scope of whatever strategy is in force."""
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        keras.utils.set_random_seed(0)
        encoder = small_encoder(8)
        projector = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
        model = XSampleModel(encoder, projector)
        loss = XSampleContrastiveLoss(implementation="tiled", tile_size=3, dtype=dtype)
        model.compile(optimizer or keras.optimizers.SGD(0.1, momentum=0.9), loss, **arguments)
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    return model


def batches(count=4, dtype="float32"):
    """A dataset of batches that differ, with weights, whose global size is `BATCH`."""
    random = np.random.default_rng(1)
    rows = BATCH * count
    data = (
        random.uniform(size=(rows, 2, 8, 8, 3)).astype(dtype),
        {
            "embedding": random.normal(size=(rows, 6)).astype(dtype),
            "substituted": np.arange(rows) % 4 == 0,
        },
        random.uniform(0.1, 3, size=rows).astype(dtype),
    )
    options = tf.data.Options()
    options.autotune.enabled = False  # Else an iterator's end may take a minute.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(BATCH, drop_remainder=True)
    return dataset.with_options(options)
