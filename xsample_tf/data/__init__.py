"""Data: sources to shards, shards to batches of views."""

from xsample_tf.data import scenes, views
from xsample_tf.data.manifest import Dataset, read_dataset
from xsample_tf.data.preparation.append import append
from xsample_tf.data.preparation.caption_vectors import add_embeddings
from xsample_tf.data.preparation.filters import Quality
from xsample_tf.data.preparation.in_place import prepare_in_place
from xsample_tf.data.preparation.prepare import prepare
from xsample_tf.data.preparation.verify import check
from xsample_tf.data.sources import Options as SourceOptions
from xsample_tf.data.stream.load import load, load_images, side_information, steps_per_epoch
from xsample_tf.tensorflow_errors import as_input_error

__all__ = [
    "Dataset",
    "Quality",
    "SourceOptions",
    "add_embeddings",
    "append",
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
