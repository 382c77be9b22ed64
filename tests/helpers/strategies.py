"""Strategies over the logical CPU devices of the test process."""

import tensorflow as tf


def mirrored(replicas):
    """On the first devices; the default's collectives allow one strategy in a process only."""
    return tf.distribute.MirroredStrategy(
        [f"CPU:{index}" for index in range(replicas)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )
