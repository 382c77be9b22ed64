"""The model of two towers: images and texts, compared in one space."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.models import inputs, microbatching, parts
from xsample_tf.models.contrastive import XSampleModel
from xsample_tf.models.distributed_model import check_scope


@keras.saving.register_keras_serializable("xsample_tf")
class ImageTextModel(XSampleModel):
    """Trains an image encoder and a text encoder so that images are near their texts.

    `fit` takes what `XSampleModel`'s takes; the side information has the texts too, under the name
    `text`. The loss gets `[B, V + 1, P]`: the projections of an image's V views, then that of its
    text. Both towers pass in one step, by microbatches, compiled and on replicas alike.

    `model(images)` is the image encoder's output; `model.embed_text(texts)` are projections of
    texts, to be compared with `model.embed_views(views)`.

    Args:
        encoder: As for `XSampleModel`.
        text_encoder: Keras model or layer, the texts `[B, ...]` to `[B, T]`; built, as
            `models.text_tower` makes it of tokens `[B, L]`. Defaults to None: the side information
            is the vectors of a frozen encoder.
        projector: Keras model or layer, `[B, D]` to `[B, P]`; built. Defaults to None.
        text_projector: Keras model or layer, `[B, T]` to `[B, P]`; built. Defaults to None.
        text: Name of the texts in the side information. Defaults to None: "tokens" with a text
            encoder, else "embedding".
        microbatch_size: As for `XSampleModel`, of images with their texts.
        finish_views: As for `XSampleModel`.
        output: As for `XSampleModel`.
        input_range: As for `XSampleModel`.
        learn_temperature: As for `XSampleModel`. Defaults to True.
        learn_bias: As for `XSampleModel`.
        name: As in Keras.

    Raises:
        InputError: As for `XSampleModel`, of both towers.

    Example:
        >>> model = ImageTextModel(
        ...     models.backbone("resnet18"),
        ...     projector=models.projector(512, layers=1),
        ...     text_projector=models.projector(384, layers=1),  # Of stored caption vectors.
        ... )
        >>> model.compile(keras.optimizers.Adam(), losses.ImageTextContrastiveLoss())
        >>> model.fit(dataset, steps_per_epoch=100)
    """

    def __init__(
        self,
        encoder: keras.Layer,
        text_encoder: keras.Layer | None = None,
        projector: keras.Layer | None = None,
        text_projector: keras.Layer | None = None,
        text: str | None = None,
        microbatch_size: int | None = None,
        finish_views: Callable[..., tf.Tensor] | None = None,
        output: str | None = None,
        input_range: tuple[float, float] | None = (0.0, 1.0),
        learn_temperature: bool = True,
        learn_bias: bool = False,
        name: str = "image_text_model",
        **arguments: Any,
    ):
        for part, layer in (("text_encoder", text_encoder), ("text_projector", text_projector)):
            if layer is not None:
                parts.check_part(part, layer)
        super().__init__(
            encoder,
            projector,
            microbatch_size,
            finish_views,
            output,
            input_range,
            learn_temperature,
            learn_bias,
            name=name,
            **arguments,
        )
        self.text_encoder = text_encoder
        self.text_projector = text_projector
        self.text = text or ("embedding" if text_encoder is None else "tokens")
        _check_sizes(self.projector or self.encoder, text_encoder, text_projector)
        check_scope(self.distribute_strategy, self.variables)

    def embed_text(self, texts: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the projections `[B, P]` of texts, at least in float32.

        Args:
            texts: As in the side information, `[B, ...]`.
            training: As in Keras.
        """
        vectors = texts
        for part in (self.text_encoder, self.text_projector):
            if part is not None:
                vectors = part(vectors, training=training)
        return vectors if vectors.dtype == tf.float64 else tf.cast(vectors, tf.float32)

    def _parts(self) -> list[keras.Layer]:
        text = (getattr(self, name, None) for name in ("text_encoder", "text_projector"))
        return [*super()._parts(), *(part for part in text if part is not None)]

    def _selected(self, data: Any) -> tuple[Any, dict[str, Any], Any]:
        views, side, weight = keras.utils.unpack_x_y_sample_weight(data)
        if side is not None and not isinstance(side, Mapping | list | tuple):
            data = views, {self.text: side}, weight
        views, side, weight = super()._selected(data)
        if self.text not in side:
            raise InputError(
                f"ImageTextModel: expected {self.text!r} in the dataset, received "
                f"{', '.join(sorted(side)) or 'nothing'}; data.load gives 'embedding' where there "
                "are caption vectors, and 'tokens' with tokens=TOKENIZER"
            )
        return views, side, weight

    def _more(self) -> tuple[str, ...]:
        return *super()._more(), self.text

    def _inputs(self, views: Any, side: Mapping[str, Any]) -> microbatching.Inputs:
        texts = inputs.as_numbers(side[self.text], self.text, "ImageTextModel")
        if texts.dtype.is_floating:  # A vector that is not finite counts as no caption.
            finite = tf.reduce_all(tf.math.is_finite(texts), axis=-1, keepdims=True)
            texts = tf.where(finite, texts, tf.zeros_like(texts))
        return {"views": super()._inputs(views, side), "texts": texts}

    def _embed(self, given: microbatching.Inputs, training: bool) -> tf.Tensor:
        images = self.embed_views(given["views"], training)
        texts = self.embed_text(given["texts"], training)
        return tf.concat([images, tf.cast(texts, images.dtype)[:, tf.newaxis]], axis=1)

    def _remarks(self, data: Any) -> dict[str, tf.Tensor]:
        found, side = super()._remarks(data), self._selected(data)[1]
        texts = inputs.as_numbers(side[self.text], self.text, "ImageTextModel")
        missing = inputs.not_finite(texts)
        if missing is None:
            return found
        return {"captionless": missing | found.get("captionless", missing)}

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, serialised; see `XSampleModel`."""
        return {
            **super().get_config(),
            "text_encoder": keras.saving.serialize_keras_object(self.text_encoder),
            "text_projector": keras.saving.serialize_keras_object(self.text_projector),
            "text": self.text,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "ImageTextModel":
        """Builds the model from `get_config`'s result, with fresh weights."""
        made = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("text_encoder", "text_projector")
        }
        return super().from_config(config | made, custom_objects)


def _check_sizes(
    images: keras.Layer, text_encoder: keras.Layer | None, text_projector: keras.Layer | None
) -> None:
    """Raises `InputError` where the towers do not fit, or do not end in one space."""
    if text_encoder is not None and text_projector is not None:
        made, taken = _size(text_encoder), parts.input_shape(text_projector)
        if taken and None not in (made, taken[-1]) and made != taken[-1]:
            raise InputError(
                f"text_projector: expected input [B, {made}], the text encoder's output, received "
                f"{taken}"
            )
    sizes = _size(images), _size(text_projector or text_encoder)
    if None not in sizes and sizes[0] != sizes[1]:
        raise InputError(
            f"text_projector: expected output [B, {sizes[0]}], as of the images, received [B, "
            f"{sizes[1]}]; end both towers in projectors of one size"
        )


def _size(layer: keras.Layer | None) -> int | None:
    """The length of a layer's vectors; None where it is not known."""
    try:
        shape = () if layer is None else tuple(layer.output_shape)
    except (AttributeError, TypeError, ValueError):
        return None
    return shape[-1] if len(shape) == 2 else None
