"""The forward pass of an encoder and a projector over views: whole, in microbatches, compiled."""

import functools
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.models import inputs, microbatching, parts, pixels
from xsample_tf.models.distributed_model import DistributedModel, check_scope
from xsample_tf.models.gradient_step import is_overwritten


class EncodingModel(DistributedModel):
    """A model of an encoder and a projector that passes all views of a batch at once.

    Args and errors are those of `XSampleModel`.
    """

    def __init__(
        self,
        encoder: keras.Layer,
        projector: keras.Layer | None,
        microbatch_size: int | None,
        finish_views: Callable[..., tf.Tensor] | None,
        output: str | None,
        input_range: tuple[float, float] | None,
        **arguments: Any,
    ):
        super().__init__(**arguments)
        for part, layer in (("encoder", encoder), ("projector", projector)):
            if layer is not None:
                parts.check_part(part, layer)
                parts.check_one_input(part, layer)
        parts.check_channels_last(encoder)
        if microbatch_size is not None and (
            not isinstance(microbatch_size, numbers.Integral) or microbatch_size < 1
        ):
            raise InputError(
                f"microbatch_size: expected a number of images or None, received {microbatch_size}"
            )
        self.encoder = parts.with_one_output(encoder, output)
        self.projector = projector
        self.microbatch_size = microbatch_size
        self.finish_views = finish_views
        self.input_range = pixels.check_input_range(input_range)
        parts.check_sizes(self.encoder, projector)
        check_scope(self.distribute_strategy, self.variables)
        self.built = True

    def call(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the encoder's output `[B, D]`.

        Args:
            images: `[B, H, W, 3]`, floating, or uint8, which is scaled as in `fit`.
            training: As in Keras.

        Raises:
            InputError: Images of another rank, such as several views, or of another dtype.
        """
        if len(images.shape) != 4:
            raise InputError(
                f"expected images [B, H, W, 3], received {tuple(images.shape)}; several views "
                "[B, V, H, W, 3] are for fit and evaluate"
            )
        dtype = keras.backend.standardize_dtype(images.dtype)
        if dtype == "uint8" and self.input_range is not None:
            low, high = self.input_range
            scale = (high - low) / 255
            images = low + scale * keras.ops.cast(images, self.encoder.compute_dtype)
        elif dtype != "uint8" and not keras.backend.is_float_dtype(dtype):
            raise InputError(
                f"expected floating or uint8 images, received {dtype} {tuple(images.shape)}"
            )
        return self.encoder(images, training=training)

    def embed_views(self, views: microbatching.ViewTensors, training: bool = False) -> tf.Tensor:
        """Returns the projections `[B, V, P]` of views, at least in float32.

        Args:
            views: As for `fit`.
            training: As in Keras.
        """
        views = self._finished(self._canonical(views))
        shape = tf.shape(views)
        images = tf.reshape(views, tf.concat([shape[:1] * shape[1:2], shape[2:]], axis=0))
        images.set_shape([None, *views.shape[2:]])
        outputs = self.encoder(images, training=training)
        if not tf.is_tensor(outputs):
            raise InputError(
                f"encoder: expected one vector an image, [B, D], received outputs "
                f"{inputs.shapes(outputs)}; choose one, as XSampleModel(encoder, output=NAME)"
            )
        parts.check_vectors(tuple(outputs.shape))
        if self.projector is not None:
            outputs = self.projector(outputs, training=training)
        outputs = tf.reshape(outputs, [shape[0], shape[1], outputs.shape[-1]])
        if outputs.dtype != tf.float64:
            outputs = tf.cast(outputs, tf.float32)
        return tf.ensure_shape(outputs, [*views.shape[:2], None])

    def _canonical(self, views: Any) -> microbatching.ViewTensors:
        """Views in one form, or a tuple of what `finish_views` makes them of."""
        if self.finish_views is not None and isinstance(views, list | tuple):
            return tuple(tf.convert_to_tensor(part) for part in views)
        double = any(v.dtype == "float64" for part in self._parts() for v in part.variables)
        return pixels.views_of(
            views,
            tf.float64 if double else tf.float32,
            self.input_range,
            parts.image_shape(self.encoder),
        )

    def _finished(self, views: microbatching.ViewTensors) -> tf.Tensor:
        return self._canonical(self.finish_views(*views)) if isinstance(views, tuple) else views

    def _inputs(self, views: Any, side: Mapping[str, Any]) -> microbatching.Inputs:
        """What of a batch passes the parts: `_embed` takes a microbatch of it."""
        del side
        return self._canonical(views)

    def _embed(self, given: microbatching.Inputs, training: bool) -> tf.Tensor:
        """What the loss compares, `[b, V, P]`, of `_inputs`."""
        return self.embed_views(given, training)

    def _pass(
        self, given: microbatching.Inputs, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, microbatching.Backward]:
        """Embeddings, penalty, and what takes the gradient: see `microbatching`."""
        roles = self._roles()
        weights, frozen, states = (
            [tf.convert_to_tensor(variable) for variable in role] for role in roles
        )
        function = self._compiled_encode if self.encoder_is_compiled else self._encode

        def encode(weights: list, states: list, given: microbatching.Inputs) -> tuple:
            return function(weights, frozen, states, given, training)

        size = self.microbatch_size
        images = tf.nest.flatten(given)[0].shape[0]
        few = not training and images is not None and images < (size or 0)
        if size is None or images == size or few:
            return microbatching.full_batch(encode, weights, states, given)
        if not training:
            padded, images = microbatching.padded(given, size)
            embeddings, penalty, backward = microbatching.microbatched(
                encode, weights, states, padded, size
            )
            return embeddings[:images], penalty, backward
        overwritten = [is_overwritten(variable) for variable in roles[0]]
        return microbatching.microbatched(
            encode, weights, states, given, size, self._collective, overwritten
        )

    def _encode(
        self,
        weights: list,
        frozen: list,
        states: list,
        given: microbatching.Inputs,
        training: bool,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """`_embed` as a function of all values that it reads."""
        roles = self._roles()
        values = [*weights, *frozen, *states]
        variables = [variable for role in roles for variable in role]
        with keras.StatelessScope(
            list(zip(variables, values, strict=True)), collect_losses=True
        ) as scope:
            embeddings = self._embed(given, training)
            penalty = tf.cast(sum(self.losses, 0.0), embeddings.dtype)
            states = [scope.get_current_value(state) for state in roles[2]]
        unknown = scope.state_mapping.keys() - {id(variable) for variable in variables}
        drawn = microbatching.unseeded_operations() if self.microbatch_size else []
        if unknown or drawn:
            raise InputError(
                "encoder: expected random numbers and other state in variables of its layers, "
                f"received {', '.join(drawn) or 'a variable of none of them'}; draw by "
                "keras.random with a keras.random.SeedGenerator that is an attribute of the layer"
            )
        return embeddings, penalty, states

    @functools.cached_property
    def _compiled_encode(self) -> Callable:
        return tf.function(self._encode, jit_compile=True, autograph=False)

    def _roles(self) -> tuple[list[keras.Variable], list[keras.Variable], list[keras.Variable]]:
        """Variables that are trained, that are frozen, and that the forward pass moves."""
        layers = self._flatten_layers()
        trained, others = self.trainable_variables, []
        weights = {id(v) for layer in layers for v in layer._trainable_variables}
        for part in self._parts():
            others += part.non_trainable_variables
        frozen = [v for v in others if id(v) in weights]
        return trained, frozen, [v for v in others if id(v) not in weights]

    def _parts(self) -> list[keras.Layer]:
        return [part for part in (self.encoder, self.projector) if part is not None]

    @property
    def encoder_is_compiled(self) -> bool:
        """Whether XLA compiles the encoder by itself: on several replicas, not the whole step."""
        several = self.distribute_strategy.num_replicas_in_sync > 1
        return bool(self.jit_compile) and several and not self._collective

    @property
    def _collective(self) -> bool:
        """Whether the encoder's batch norm speaks to other replicas."""
        return self.distribute_strategy.num_replicas_in_sync > 1 and any(
            getattr(layer, "synchronized", False) for layer in self._flatten_layers()
        )
