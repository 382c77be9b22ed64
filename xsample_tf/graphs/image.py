"""The graph of a teacher's image vectors."""

import keras

from xsample_tf.graphs.base import GraphData, register
from xsample_tf.graphs.caption import CosineGraph


@register("image")
@keras.saving.register_keras_serializable("xsample_tf")
class ImageGraph(CosineGraph):
    """Cosine of a trained encoder's vectors of the images: distillation without captions.

    Side information: "image_embedding", float `[B, D]` of any scale, which
    `tools/prepare_data.py --image_encoder=SAVED_MODEL` stores beside the images. A zero vector
    relates to nothing.

    Args:
        center: `[D]`, subtracted from every vector first. Defaults to None.

    Example:
        >>> vectors = tf.constant([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
        >>> ImageGraph().similarity(vectors, vectors)
    """

    features = "image_embedding"
    of_captions = False

    @classmethod
    def from_data(cls, data: GraphData) -> "ImageGraph":
        """Builds the graph, centred by the mean image vector where the run asks for it."""
        return cls(data.center("image_embedding"))
