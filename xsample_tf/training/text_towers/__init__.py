"""Text towers: what embeds the texts of a run, one file each."""

from xsample_tf.training.text_towers.base import TextTower, make_text_tower, register

__all__ = ["TextTower", "make_text_tower", "register"]
