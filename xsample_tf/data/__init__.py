"""Data: sources to shards, shards to batches of views."""

from xsample_tf.data import scenes, views
from xsample_tf.data.image_encoder import SavedModelImageEncoder
from xsample_tf.data.image_vectors import add_image_embeddings
from xsample_tf.data.manifest import Dataset, read_dataset
from xsample_tf.data.preparation.append import append
from xsample_tf.data.preparation.caption_vectors import add_embeddings
from xsample_tf.data.preparation.filters import Quality
from xsample_tf.data.preparation.in_place import prepare_in_place
from xsample_tf.data.preparation.prepare import prepare
from xsample_tf.data.preparation.verify import check
from xsample_tf.data.sources import Options as SourceOptions
from xsample_tf.data.stream.first_images import side_information, thumbnails
from xsample_tf.data.stream.load import load, load_images, steps_per_epoch
from xsample_tf.data.stream.subset import Subset
from xsample_tf.data.stream.subset_shards import read_labels
from xsample_tf.data.text_encoder import Tokenizer
from xsample_tf.data.vocabulary import add_vocabulary, read_vocabulary
from xsample_tf.tensorflow_errors import as_input_error

__all__ = [
    "Dataset",
    "Quality",
    "SavedModelImageEncoder",
    "SourceOptions",
    "Subset",
    "Tokenizer",
    "add_embeddings",
    "add_image_embeddings",
    "add_vocabulary",
    "append",
    "as_input_error",
    "check",
    "load",
    "load_images",
    "prepare",
    "prepare_in_place",
    "read_dataset",
    "read_labels",
    "read_vocabulary",
    "scenes",
    "side_information",
    "steps_per_epoch",
    "thumbnails",
    "views",
]
