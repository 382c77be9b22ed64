"""The loss in tiles: memory linear in the batch, exact gradients."""

from xsample_tf.losses.tiled.loss import tiled_rows
from xsample_tf.losses.tiled.tile import LOWEST_SHARED_TEMPERATURE, LossSettings

__all__ = ["LOWEST_SHARED_TEMPERATURE", "LossSettings", "tiled_rows"]
