"""The images that a page looks at, in words."""

import numpy as np

from xsample_tf import data
from xsample_tf.training.graph_page.variants import Variant
from xsample_tf.training.stream import subset_of

_LONGEST = 400  # Characters of a caption that are shown.


class Sample:
    """What to call the P images of the sample.

    Args:
        variant: Of the run's graph.
        dataset: What the run's first data directory says.

    Attributes:
        kind: What the texts are: "caption", "class name" or "key".
        texts: `[P]`: the images' captions; else the names of their classes; else their keys.
        labels: int `[P]`, which texts are equal.
        captions: `[P]`, "" where there is none.
        keys: bytes `[P]`.
    """

    def __init__(self, variant: Variant, dataset: data.Dataset):
        self.keys = variant.texts["key"]
        captions = [_decoded(caption) for caption in variant.texts["caption"]]
        self.captions = captions
        if any(captions):
            self.kind, self.texts = "caption", captions
        elif dataset.class_names:
            self.kind, self.texts = "class name", _class_names(variant, dataset)
        else:
            self.kind, self.texts = "key", [_decoded(key) for key in self.keys]
        self.labels = np.unique(np.array(self.texts, object), return_inverse=True)[1]

    def shown(self, image: int) -> str:
        """Returns the text of an image as the page has it."""
        text = self.texts[image] or f"(no caption: {_decoded(self.keys[image])})"
        return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _class_names(variant: Variant, dataset: data.Dataset) -> list[str]:
    options, images = variant.options, len(variant.texts["key"])
    labels = data.side_information(
        options.data_dir, "train", limit=images, seed=options.seed, subset=subset_of(options)
    )["label"]
    return [dataset.class_names[label].replace("_", " ") for label in labels]
