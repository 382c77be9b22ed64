"""The text tower that is not trained: stored caption vectors."""

from collections.abc import Callable

import tensorflow as tf

from xsample_tf import data, text
from xsample_tf.training.options import Options
from xsample_tf.training.stream import caption_vectors
from xsample_tf.training.text_towers.base import TextTower, register


@register("frozen")
class Frozen(TextTower):
    """Stored caption vectors; only their projection is trained.

    Nearly free, and the baseline that sees exactly what a graph of captions sees.
    """

    feature = "embedding"

    def __init__(self, options: Options, dataset: data.Dataset):
        super().__init__(options, dataset)
        if options.encode_captions:
            self.size = caption_vectors(options).size
            self._handle = options.encode_captions
        else:
            stored = dataset.encoder(options.embedding or None)
            self.size, self._handle = stored.size, stored.handle

    def read(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns the encoder whose vectors are stored, as a function of TensorFlow."""
        return text.graph_of(text.load_encoder(self._handle))

    def describe(self) -> str:
        """Returns which encoder's vectors they are."""
        return f"caption vectors of {self._handle}, frozen"
