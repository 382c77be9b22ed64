"""Trained image encoders whose vectors are stored beside the images."""

import os
import pathlib
import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from xsample_tf.data.views import Evaluation
from xsample_tf.data.views.decode import decode_image
from xsample_tf.errors import InputError

_DEFAULT_SIZE = 224  # Pixels, where a SavedModel takes images of any size.


class ImageEncoder(Protocol):
    """What turns image files into vectors; `name` is the folder they go to."""

    name: str
    handle: str
    size: int

    def __call__(self, files: Sequence[bytes]) -> np.ndarray:
        """Returns float `[K, size]`; a row that is not finite for a file that is no image."""


class SavedModelImageEncoder:
    """A SavedModel from images to vectors, such as an export of ours.

    Its signature `serving_default` takes float32 `[B, H, W, 3]` in [0, 1] and has one output
    `[B, D]`, or several with "embedding" among them.

    Args:
        handle: The SavedModel's directory, or that of an export, in which `saved_model` is.
        image_size: Side of the square images in pixels, where the SavedModel takes any. Defaults to
            that of the SavedModel, else 224.

    Raises:
        InputError: No SavedModel there, or one with another signature.

    Example:
        >>> encoder = SavedModelImageEncoder("runs/first/export")
        >>> encoder([open("image.jpg", "rb").read()]).shape
        (1, 512)
    """

    def __init__(self, handle: str, image_size: int | None = None):
        self.handle = handle
        inner = os.path.join(handle, "saved_model")
        path = inner if tf.io.gfile.isdir(inner) else handle
        try:
            self._model = tf.saved_model.load(path)
            serve = self._model.signatures["serving_default"]
            (images,) = serve.structured_input_signature[1].values()
            height, width, channels = images.shape[1:]
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"image_encoder: expected a SavedModel with serving_default(images float32 "
                f"[B, H, W, 3]), received {handle!r} ({reason})"
            ) from error
        if images.dtype != tf.float32 or channels != 3 or height != width:
            raise InputError(
                f"image_encoder: expected serving_default(images float32 [B, S, S, 3]), received "
                f"{images.dtype.name} {images.shape} in {handle!r}"
            )
        self._view = Evaluation(height or image_size or _DEFAULT_SIZE)
        outputs = serve.structured_outputs
        self._output = "embedding" if "embedding" in outputs else next(iter(outputs))
        self._serve, self._argument = serve, images.name
        self.name = _name_of(path)
        self.size = int(self._embed(tf.zeros([1, self._view.size, self._view.size, 3])).shape[-1])

    def __call__(self, files: Sequence[bytes]) -> np.ndarray:
        """Returns float32 `[K, size]` of the contents of image files; NaN for what is no image."""
        views, usable = [], []
        for content in files:
            try:
                view = self._view(decode_image(tf.constant(content)), tf.zeros([2], tf.int32))[0]
            except (tf.errors.OpError, InputError):
                view = None
            usable.append(view is not None)
            views += [] if view is None else [view]
        rows = np.full((len(files), self.size), np.nan, np.float32)
        if views:
            rows[np.array(usable)] = self._embed(tf.stack(views)).numpy()
        return rows

    def _embed(self, images: tf.Tensor) -> tf.Tensor:
        vectors = self._serve(**{self._argument: images})[self._output]
        if vectors.shape.rank != 2:
            raise InputError(
                f"image_encoder: expected vectors [B, D] of {self.handle!r}, received "
                f"{vectors.shape}"
            )
        return tf.cast(vectors, tf.float32)


def _name_of(path: str) -> str:
    """Returns the last part of a path that says more than that an export is there."""
    parts = [part for part in pathlib.PurePath(os.path.abspath(path)).parts if part != "/"]
    own = [part for part in parts if part not in ("saved_model", "export")]
    return re.sub(r"[^\w.-]+", "-", own[-1] if own else "teacher").strip(".-") or "teacher"
