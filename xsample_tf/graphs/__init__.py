"""Similarity graphs: how the samples of a batch relate to each other.

The target of the loss is a softmax over the rows of such a graph (arXiv 2407.18134, section 3). The
graph decides the objective: captions give X-CLR, labels give SupCon, the image itself gives SimCLR.
"""

from xsample_tf.graphs.base import GRAPHS, GraphData, SimilarityGraph, register
from xsample_tf.graphs.blend import BlendedGraph
from xsample_tf.graphs.caption import CosineGraph
from xsample_tf.graphs.class_controls import RandomClassGraph, ShuffledClassGraph
from xsample_tf.graphs.edge_noise import EdgeNoiseGraph
from xsample_tf.graphs.image import ImageGraph
from xsample_tf.graphs.instance import InstanceGraph
from xsample_tf.graphs.label import LABEL_LIMIT, ClassGraph, LabelGraph
from xsample_tf.graphs.random_sample import RandomSampleGraph
from xsample_tf.graphs.smoothing import SmoothingGraph
from xsample_tf.graphs.taxonomy import TaxonomyGraph

__all__ = [
    "GRAPHS",
    "LABEL_LIMIT",
    "BlendedGraph",
    "ClassGraph",
    "CosineGraph",
    "EdgeNoiseGraph",
    "GraphData",
    "ImageGraph",
    "InstanceGraph",
    "LabelGraph",
    "RandomClassGraph",
    "RandomSampleGraph",
    "ShuffledClassGraph",
    "SimilarityGraph",
    "SmoothingGraph",
    "TaxonomyGraph",
    "register",
]
