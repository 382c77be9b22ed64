"""The stream of a run: its views, its captions' vectors, its batches."""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from xsample_tf import data, text
from xsample_tf.data import views
from xsample_tf.devices import accelerated
from xsample_tf.errors import InputError
from xsample_tf.registry import own_values
from xsample_tf.training.options import Options


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


def _vectors_for(options: Options, features: str) -> str | text.TextEncoder | None:
    """Returns `caption_vectors`; captions are encoded for graphs of captions only."""
    return caption_vectors(options) if features == "embedding" else options.embedding or None


def make_stream(
    options: Options,
    features: str,
    first_step: int = 0,
    share: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Returns the training batches from a step on, or a share of their rows.

    Args:
        options: The settings of the run.
        features: The side information that the graph needs: captions are encoded while training
            for "embedding" only.
        first_step: The step of the first batch.
        share: As for `data.load`.
    """
    policy = make_views(options)
    return data.load(
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
    )


def side_information(options: Options, features: str, images: int) -> np.ndarray:
    """Returns some side information of the stream's first images, `[images, ...]`.

    Raises:
        InputError: The data does not have what the graph needs.
    """
    if features == "index":
        return np.arange(images)
    vectors = _vectors_for(options, features)
    found = data.side_information(options.data_dir, "train", vectors, limit=images)
    if features not in found:
        raise InputError(
            f"graph: {options.graph!r} needs {features!r} of each image, and the data has "
            f"{', '.join(sorted(found)) or 'nothing but images'}; prepare the data with it, or use "
            "another graph"
        )
    return found[features]
