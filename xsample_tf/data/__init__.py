"""Data: sources to shards, shards to batches of views."""

from xsample_tf.data import scenes, views
from xsample_tf.data.check import check
from xsample_tf.data.embed import add_embeddings
from xsample_tf.data.in_place import prepare_in_place
from xsample_tf.data.pipeline import load, load_images, side_information, steps_per_epoch
from xsample_tf.data.prepare import prepare
from xsample_tf.data.quality import Quality
from xsample_tf.data.records import Dataset, read_dataset
from xsample_tf.data.shards import as_input_error
from xsample_tf.data.sources import Options as SourceOptions

__all__ = [
    "Dataset",
    "Quality",
    "SourceOptions",
    "add_embeddings",
    "as_input_error",
    "check",
    "load",
    "load_images",
    "prepare",
    "prepare_in_place",
    "read_dataset",
    "scenes",
    "side_information",
    "steps_per_epoch",
    "views",
]
