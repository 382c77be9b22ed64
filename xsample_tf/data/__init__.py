"""Data: sources to shards, shards to batches of views."""

from xsample_tf.data import scenes, views
from xsample_tf.data.pipeline import load, load_images, side_information, steps_per_epoch
from xsample_tf.data.prepare import prepare
from xsample_tf.data.records import Dataset, read_dataset

__all__ = [
    "Dataset",
    "load",
    "load_images",
    "prepare",
    "read_dataset",
    "scenes",
    "side_information",
    "steps_per_epoch",
    "views",
]
