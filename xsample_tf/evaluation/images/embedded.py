"""Features of a list of images."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from xsample_tf.data.views import Evaluation
from xsample_tf.data.views.decode import decode_image
from xsample_tf.evaluation.images.counts import check_count
from xsample_tf.evaluation.images.image_list import ImageList
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.splits import Split

View = Callable[[tf.Tensor], tf.Tensor]


def embed_list(
    runner: Runner, name: str, images: ImageList, partial: bool = False, view: View | None = None
) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Returns the embeddings of the images that can be decoded.

    Args and errors are those of `embed_split`.

    Returns:
        Float32 `[M, D]`, the rows of the list, int64 `[M]`, and what was left out with its reason.
    """
    found, left_out = embed_split(runner, name, images, partial, view)
    return found.embeddings, found.labels, left_out


def embed_split(
    runner: Runner, name: str, images: ImageList, partial: bool = False, view: View | None = None
) -> tuple[Split, dict[str, str]]:
    """Returns the features of the images that can be decoded.

    Args:
        runner: Of one encoder.
        name: What the images are called in messages; one name for the same images.
        images: Files.
        partial: Whether images that cannot be decoded are only counted. Defaults to False.
        view: Image uint8 `[H, W, 3]` to float32 `[S, S, 3]`. Defaults to the evaluation view.

    Returns:
        The features of M images, their rows in the list in place of labels, and what was left out
        with its reason.

    Raises:
        InputError: Images that cannot be decoded, or embeddings that are not finite.
    """
    size = runner.image_size
    own = view or (lambda image: Evaluation(size)(image)[0])

    def decode(row: tf.Tensor, key: tf.Tensor, content: tf.Tensor) -> dict[str, tf.Tensor]:
        image = tf.ensure_shape(own(decode_image(content)), [size, size, 3])
        return {"image": image, "key": key, "label": row}

    # The rows stand for the labels, since some images may be missing from the result.
    dataset = tf.data.Dataset.zip(
        tf.data.Dataset.range(len(images)),
        tf.data.Dataset.from_tensor_slices(images.keys),
        images.contents,
    )
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    found = runner.embed(name, dataset.ignore_errors())
    left_out = check_count(
        name, len(found), len(images), images.where, partial, "images that can be decoded"
    )
    return found, left_out


def as_they_are(size: int) -> View:
    """Returns a view of whole images: without a crop, and resized only where the size differs."""

    def view(image: tf.Tensor) -> tf.Tensor:
        pixels = tf.image.convert_image_dtype(image, tf.float32)
        same = tf.reduce_all(tf.equal(tf.shape(image)[:2], size))
        resized = tf.cond(
            same, lambda: pixels, lambda: tf.image.resize(pixels, [size, size], antialias=True)
        )
        return tf.ensure_shape(tf.clip_by_value(resized, 0.0, 1.0), [size, size, 3])

    return view
