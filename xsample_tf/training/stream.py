"""The stream of a run: its views, its captions' vectors, its batches."""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from xsample_tf import data, text
from xsample_tf.data import views
from xsample_tf.devices import accelerated
from xsample_tf.errors import InputError
from xsample_tf.graphs.base import Side, choose_features, feature_names
from xsample_tf.registry import own_values
from xsample_tf.training.options import Options

# What `side_information` gives of an image that no graph takes.
TEXTS = frozenset({"key", "caption"})


def make_views(options: Options) -> views.ViewPolicy:
    """Builds the augmentation policy that the options name."""
    entry = views.AUGMENTATIONS[options.augmentation]
    return entry.make.from_options(options, **own_values(entry, options.own))


def finish_views(options: Options) -> Callable[..., tf.Tensor] | None:
    """Returns what the model makes views by, of what the stream has in their place; or None."""
    return make_views(options).finish if color_on_accelerator(options) else None


def color_on_accelerator(options: Options) -> bool:
    """Whether the step changes the views' colours, and not the stream."""
    if options.color_on == "auto":
        return views.AUGMENTATIONS[options.augmentation].make.splits_stages and accelerated()
    return options.color_on == "accelerator"


def caption_vectors(options: Options) -> str | text.TextEncoder | None:
    """Returns the name of the stored vectors, or the encoder that makes them while training."""
    if options.encode_captions:
        return _load_encoder(options.encode_captions)
    return options.embedding or None


@functools.lru_cache(maxsize=1)
def _load_encoder(handle: str) -> text.TextEncoder:
    return text.load_encoder(handle)


def subset_of(options: Options) -> data.Subset | None:
    """Returns which of the images are trained on; None for all."""
    subset = data.Subset(
        options.train_fraction, options.per_class, options.train_list, options.seed
    )
    return None if subset == data.Subset(seed=options.seed) else subset


@functools.lru_cache(maxsize=1)
def class_weights(options: Options) -> np.ndarray:
    """Returns the weight float32 `[C]` of an image of each class, 1 on the images' average.

    Raises:
        InputError: The data has no labels.
    """
    names = {data.read_dataset(directory).class_names for directory in options.data_dir}
    labels = data.read_labels(options.data_dir, "train", subset_of(options))
    if len(names) > 1 or None in names or labels.min() < 0:
        raise InputError(
            f"class_balance: expected a label for each image, and the same classes everywhere, in "
            f"{', '.join(options.data_dir)}; prepare the data with --label_column"
        )
    counts = np.bincount(labels, minlength=len(names.pop()))
    weights = np.maximum(counts, 1.0) ** -options.class_balance
    return (weights * (counts.sum() / np.sum(counts * weights))).astype(np.float32)


def _vectors_for(
    options: Options, features: str | tuple[str, ...]
) -> str | text.TextEncoder | None:
    """Returns `caption_vectors`; captions are encoded for graphs of captions only."""
    wanted = "embedding" in feature_names(features)
    return caption_vectors(options) if wanted else options.embedding or None


def _image_vectors_for(options: Options, features: str | tuple[str, ...]) -> str | None:
    """Returns the name of the stored image vectors, "" for the only ones, where they are needed."""
    return options.image_embedding if "image_embedding" in feature_names(features) else None


def make_stream(
    options: Options,
    features: str | tuple[str, ...],
    first_step: int = 0,
    share: tuple[int, int] = (0, 1),
    tokens: data.Tokenizer | None = None,
) -> tf.data.Dataset:
    """Returns the training batches from a step on, or a share of their rows.

    Args:
        options: The settings of the run.
        features: The side information that is needed: captions are encoded while training where
            "embedding" is among it.
        first_step: The step of the first batch.
        share: As for `data.load`.
        tokens: As for `data.load`.

    Returns:
        As `data.load`, `(views, side)`; with class balance `(views, side, sample_weight)`.
    """
    policy = make_views(options)
    stream = data.load(
        options.data_dir,
        "train",
        options.batch_size,
        views=policy.crops if color_on_accelerator(options) else policy,
        seed=options.seed,
        start_step=first_step,
        embedding=_vectors_for(options, features),
        captions=options.captions,
        shuffle_window=options.shuffle_window,
        share=share,
        tokens=tokens,
        subset=subset_of(options),
        image_embedding=_image_vectors_for(options, features),
    )
    if not options.class_balance:
        return stream
    weights = tf.constant(class_weights(options))
    return stream.map(lambda views, side: (views, side, tf.gather(weights, side["label"])))


def side_information(
    options: Options, features: str | tuple[str, ...], images: int, seed: int = 0
) -> Side:
    """Returns some side information of the stream's first images, `[images, ...]`.

    Args:
        options: The settings of the run.
        features: The name of one, or a tuple of names, which gives a dict; "key" and "caption" are
            bytes.
        images: Number of images.
        seed: Which images are the first. Defaults to 0.

    Raises:
        InputError: The data does not have what the graph needs.
    """
    if features == "index":
        return np.arange(images)
    vectors = _vectors_for(options, features)
    subset = subset_of(options)
    found = data.side_information(
        options.data_dir,
        "train",
        vectors,
        limit=images,
        captions=options.captions,
        seed=seed,
        subset=subset,
        image_embedding=_image_vectors_for(options, features),
        texts=not TEXTS.isdisjoint(feature_names(features)),
    )
    found["index"] = np.arange(images)
    for name in feature_names(features):
        if name not in found:
            known = sorted(found.keys() - TEXTS - {"index", "key_hash"})
            raise InputError(
                f"graph: {options.graph!r} needs {name!r} of each image, and the data has "
                f"{', '.join(known) or 'nothing but images'}; prepare the data with it, or use "
                "another graph"
            )
    return choose_features(found, features)
