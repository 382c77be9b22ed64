"""A labelled data directory of telling images."""

import pathlib

from helpers import telling_images
from helpers.tiny_data import shard
from xsample_tf.data import manifest, records


def write(directory: pathlib.Path, classes: dict[str, int], keys: dict[str, list[str]]) -> str:
    """Writes images by split and class.

    Args:
        directory: Where to.
        classes: What an image of each class guesses, by the name of the class.
        keys: By split, with `{name}` for the class: each gives an image of every class.
    """
    splits = {}
    for split, own in keys.items():
        rows = [
            records.serialize(telling_images.picture(guess), key.format(name=name), [], label)
            for label, (name, guess) in enumerate(classes.items())
            for key in own
        ]
        splits[split] = (shard(directory, f"{split}/00000.tfrecord", rows),)
    manifest.write_dataset(
        manifest.Dataset(str(directory), splits, tuple(classes), 0, {}, {}, "telling")
    )
    return str(directory)
