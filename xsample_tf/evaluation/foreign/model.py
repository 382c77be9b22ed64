"""Anyone's model, called as evaluation calls an encoder."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.evaluation.foreign.signatures import choose, describe, signatures_of
from xsample_tf.models import XSampleModel
from xsample_tf.models.pixels import BYTES, check_input_range, own_range

EMBED_TEXT = "embed_text"  # The signature that takes strings.
AMONG_TEXTS = "embedding"  # The output of images in the space of its vectors.


class ForeignModel:
    """Maps float32 images `[B, H, W, 3]` in [0, 1] to float32 embeddings `[B, D]`.

    Images are brought to what the model takes: its range, dtype, order of axes and batch. A last
    batch that is too small is filled up. Its `variables` are the model's; its `embed_texts` takes
    strings to float32 `[K, P]`, and is None for a model without a signature `embed_text`. Its
    `embed_with_texts` gives images as `(embeddings [B, D], vectors among texts [B, P])`, and is
    None where the embeddings are what texts are compared with, or nothing is.

    Args:
        model: A Keras model, or what `tf.saved_model.load` gives.
        signature: As for `choose`. Defaults to None.
        input: As for `choose`. Defaults to None.
        output: As for `choose`. Defaults to None.
        input_range: Lowest and highest pixel that the model takes. Defaults to None: (0, 255) for
            integers, and for a Keras model that divides them itself; that of an `XSampleModel`;
            else (0, 1).

    Raises:
        InputError: It is not plain what to call; images that are not square; or a range that the
            dtype does not hold.

    Example:
        >>> encoder = ForeignModel(tf.saved_model.load("their_model"), input_range=(-1, 1))
        >>> evaluate(encoder, "data/photos", image_size=224)
    """

    def __init__(
        self,
        model: Any,
        signature: str | None = None,
        input: str | None = None,
        output: str | None = None,
        input_range: Sequence[float] | None = None,
    ):
        if isinstance(model, XSampleModel):
            input_range = model.input_range if input_range is None else input_range
            model = model.encoder
        self.choice = choose(signatures_of(model), signature, input, output)
        self.input_range = _range(model, self.choice.input, input_range)
        self._function = self.choice.function()
        self.variables = tuple(getattr(model, "variables", ()))
        self.embed_texts = _text_side(model)
        self.embed_with_texts = self._both() if self.embed_texts else None
        height, width = self.choice.sides
        if None not in (height, width) and height != width:
            raise InputError(
                f"model: expected square images, received {describe(self.choice.input)}"
            )

    @property
    def input_shape(self) -> tuple[int | None, int | None, int | None, int]:
        """The images that it takes, `(None, H, W, 3)`, None where any."""
        return (None, *self.choice.sides, 3)

    def __str__(self) -> str:
        """What is called and how, in one line."""
        choice = self.choice
        side = choice.sides[0]
        words = [
            f"signature {choice.signature.name}",
            f"input {describe(choice.input)}" + (", channels first" * choice.channels_first),
            "pixels from {:g} to {:g}".format(*self.input_range),
            "images of any size" if side is None else f"images of {side} pixels",
            *([] if choice.batch is None else [f"{choice.batch} at a time"]),
            f"output {describe(choice.output)}",
        ]
        return "; ".join(words)

    def __call__(self, images: Any) -> tf.Tensor:
        """Returns embeddings `[B, D]`.

        Args:
            images: `[B, H, W, 3]` in [0, 1].

        Raises:
            InputError: The model fails on them.
        """
        return self._call(self._function, images)

    def _both(self) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor]] | None:
        """What gives the chosen output and that among texts, where these are two."""
        signature, own = self.choice.signature, self.choice.output.name
        names = [spec.name for spec in signature.outputs]
        if own == AMONG_TEXTS or AMONG_TEXTS not in names:
            return None
        both = signature.bind(self.choice.input.name, (own, AMONG_TEXTS))
        return lambda images: self._call(both, images)

    def _call(self, function: Callable[[tf.Tensor], Any], images: Any) -> Any:
        images = tf.convert_to_tensor(images, tf.float32)
        size = self.choice.batch
        try:
            if size is None:
                return self._embed(function, images)
            parts = [images[start : start + size] for start in range(0, images.shape[0], size)]
            found = [self._embed(function, self._filled(part)) for part in parts]
            return tf.nest.map_structure(
                lambda *rows: tf.concat(rows, axis=0)[: images.shape[0]], *found
            )
        except (TypeError, ValueError, tf.errors.OpError) as error:
            reason = " ".join(str(error).split())[:300]
            raise InputError(
                f"model: {self.choice.signature} fails on images {tuple(images.shape)} ({reason})"
            ) from error

    def _filled(self, images: tf.Tensor) -> tf.Tensor:
        """Images repeated up to the batch that the model takes."""
        rows = tf.range(self.choice.batch) % images.shape[0]
        return tf.gather(images, rows)

    def _embed(self, function: Callable[[tf.Tensor], Any], images: tf.Tensor) -> Any:
        low, high = self.input_range
        if (low, high) != (0, 1):
            images = low + (high - low) * images
        dtype = self.choice.input.dtype
        if dtype.is_integer:
            images = tf.round(tf.clip_by_value(images, low, high))
        if self.choice.channels_first:
            images = tf.transpose(images, [0, 3, 1, 2])
        return tf.nest.map_structure(_as_rows, function(tf.cast(images, dtype)))


def _as_rows(vectors: tf.Tensor) -> tf.Tensor:
    vectors = tf.cast(vectors, tf.float32)
    return tf.squeeze(vectors, [1, 2]) if vectors.shape.rank == 4 else vectors


def opened(encoder: Any) -> Any:
    """Returns an encoder that can be called on images in [0, 1].

    What `tf.saved_model.load` gives becomes a `ForeignModel`, as does an `XSampleModel`, whose
    range it gets.

    Raises:
        InputError: It is not plain how to call it.
    """
    saved = not isinstance(encoder, keras.Layer) and hasattr(encoder, "signatures")
    if saved or isinstance(encoder, XSampleModel):
        return ForeignModel(encoder)
    if not callable(encoder):
        raise InputError(
            "encoder: expected a Keras model, or a function of images [B, S, S, 3], received "
            f"{type(encoder).__name__}; open a path by xsample_tf.export.load"
        )
    return encoder


def _text_side(model: Any) -> Callable[[Sequence[str]], np.ndarray] | None:
    """What embeds texts beside the images, where the model has the signature of our exports."""
    signatures = getattr(model, "signatures", {})
    if EMBED_TEXT not in signatures:
        return None
    embed = signatures[EMBED_TEXT]
    (argument,) = embed.structured_input_signature[1]

    def embed_texts(texts: Sequence[str]) -> np.ndarray:
        (vectors,) = embed(**{argument: tf.constant(list(texts))}).values()
        return vectors.numpy()

    return embed_texts


def _range(model: Any, spec: tf.TensorSpec, given: Sequence[float] | None) -> tuple[float, float]:
    """The range of pixels, as given or as the model says."""
    if given is None:
        return _own_range(model, spec)
    low, high = check_input_range(given)
    if spec.dtype.is_integer and not (
        spec.dtype.min <= low and high <= spec.dtype.max and high - low >= 255
    ):
        raise InputError(
            f"input_range: expected 256 values or more of {spec.dtype.name}, as 0,255, received "
            f"{low:g},{high:g}"
        )
    return low, high


def _own_range(model: Any, spec: tf.TensorSpec) -> tuple[float, float]:
    if spec.dtype.is_integer:
        if spec.dtype.max < 255:
            raise InputError(
                f"input_range: expected the range of {describe(spec)}, received none; give it, as "
                "--input_range=-128,127"
            )
        return BYTES
    return own_range(model) if isinstance(model, keras.Layer) else (0.0, 1.0)
