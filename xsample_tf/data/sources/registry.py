"""Opens a source by its kind."""

from xsample_tf.data.sources.base import Classes, Options, Source
from xsample_tf.data.sources.scenes import Scenes
from xsample_tf.errors import InputError, suggest

KINDS = (
    "folder",
    "hf",
    "imagenet",
    "img2dataset",
    "scenes",
    "pairs",
    "table",
    "tfds",
    "webdataset",
)


def open_source(spec: str, options: Options, classes: Classes | None = None) -> Source:
    """Opens `KIND:WHERE`, such as table:FILE or folder:DIR; the kinds are `KINDS`.

    Args:
        spec: The source as `--source` has it.
        options: How to read it.
        classes: Classes that the labels must agree with, above `options.class_names`.

    Raises:
        InputError: An unknown kind, nothing there, or nothing that fits the options.

    Example:
        >>> open_source("folder:cifar100", Options()).counts
        {'train': 20000, 'val': 5000}
    """
    kind, _, where = spec.partition(":")
    if kind not in KINDS or not where:
        raise InputError(
            f"source: expected KIND:WHERE such as folder:photos, received {spec!r}; "
            + suggest(kind, KINDS)
        )
    classes = classes or options.classes()
    if kind == "folder":
        from xsample_tf.data.sources import folder

        return folder.ClassFolders(where, options, classes)
    if kind == "hf":
        from xsample_tf.data.sources import hf

        return hf.HuggingFace(where, options, classes)
    if kind == "pairs":
        from xsample_tf.data.sources import pairs

        return pairs.Pairs(where, options, classes)
    if kind == "imagenet":
        from xsample_tf.data.sources import imagenet

        return imagenet.ImageNet(where, options, classes)
    if kind == "scenes":
        return Scenes(where, options)
    if kind == "table":
        from xsample_tf.data.sources import table  # Imports pyarrow.

        return table.Table(where, options, classes)
    if kind == "webdataset":
        from xsample_tf.data.sources import webdataset

        return webdataset.open_webdataset(where, options, classes)
    if kind == "img2dataset":
        from xsample_tf.data.sources import img2dataset

        return img2dataset.open_img2dataset(where, options, classes)
    from xsample_tf.data.sources import tfds  # Imports tensorflow_datasets.

    return tfds.TFDS(where, options, classes)
