"""`graph.html`: the target of a run as a page, to choose its temperature by eye."""

from xsample_tf.training.graph_page.build import graph_page

__all__ = ["graph_page"]
