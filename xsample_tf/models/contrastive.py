"""The model that `fit` trains: an encoder, a projector, and the contrastive step."""

import functools
import numbers
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.models import microbatching
from xsample_tf.models.distributed_model import DistributedModel
from xsample_tf.models.gradient_step import apply_gradients
from xsample_tf.models.step_metrics import METRICS, FiniteMean, ReplicaCount, projection_deviation


@keras.saving.register_keras_serializable("xsample_tf")
class XSampleModel(DistributedModel):
    """Trains an encoder by a loss over the views of the whole batch (arXiv 2407.18134).

    `fit` takes a dataset of `(views, side)` or `(views, side, sample_weight)`: views float
    `[B, V, H, W, 3]` in [0, 1]; side a dict of what the stream has ("embedding" `[B, T]`, "label"
    `[B]`, ...), of which the loss gets what its graph names, so that another graph needs no other
    dataset; sample_weight `[B]`. All views pass the encoder in one forward pass, so batch
    statistics are those of all views.

    `model(images)` is the encoder's output `[B, D]` for images `[B, H, W, 3]`; `model.encoder` is
    what is kept after training, the projector is not (section 4 of the paper).

    Args:
        encoder: Keras model or layer, images `[B, H, W, 3]` to `[B, D]`; built.
        projector: Keras model or layer, `[B, D]` to the `[B, P]` that the loss compares; built.
            None compares the encoder's output.
        microbatch_size: Images of one replica that pass the encoder at a time; None: all. The loss
            is that of the whole batch, at the memory of a microbatch and the cost of a second
            forward pass. Batch norm then has the statistics of the microbatch.
        finish_views: Makes views on the device of the parts that the dataset has in their place, a
            tuple: `views.SimCLR(...).finish`, for a stream of its `crops`.

    Raises:
        InputError: An encoder that is not built, or a projector of another input size.

    Example:
        >>> model = XSampleModel(models.backbone("resnet18"), models.projector(512))
        >>> model.compile(keras.optimizers.Adam(), XSampleContrastiveLoss())
        >>> model.fit(dataset, steps_per_epoch=100)
    """

    def __init__(
        self,
        encoder: keras.Layer,
        projector: keras.Layer | None = None,
        microbatch_size: int | None = None,
        finish_views: Callable[..., tf.Tensor] | None = None,
        name: str = "x_sample_model",
        **arguments: Any,
    ):
        super().__init__(name=name, **arguments)
        for part, layer in (("encoder", encoder), ("projector", projector)):
            if layer is not None and not layer.built:
                raise InputError(
                    f"{part}: expected a built Keras model, received {layer.name!r} without "
                    f"weights; call it once, or give it a keras.Input"
                )
        if microbatch_size is not None and (
            not isinstance(microbatch_size, numbers.Integral) or microbatch_size < 1
        ):
            raise InputError(
                f"microbatch_size: expected a number of images or None, received {microbatch_size}"
            )
        self.encoder = encoder
        self.projector = projector
        self.microbatch_size = microbatch_size
        self.finish_views = finish_views
        self._check_sizes()
        kinds = {"loss": FiniteMean, "skipped": ReplicaCount}
        self._means = {name: kinds.get(name, keras.metrics.Mean)(name) for name in METRICS}
        self.built = True

    def _check_sizes(self) -> None:
        given = getattr(self.encoder, "output_shape", (None, None))
        taken = getattr(self.projector, "input_shape", (None, given[-1]))
        if len(given) != 2:
            raise InputError(
                f"encoder: expected one vector an image, [B, D], received output {given}; "
                "add a pooling layer"
            )
        if None not in (given[-1], taken[-1]) and given[-1] != taken[-1]:
            raise InputError(
                f"projector: expected input [B, {given[-1]}], the encoder's output, "
                f"received {taken}"
            )

    def call(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the encoder's output `[B, D]` for images `[B, H, W, 3]`.

        Raises:
            InputError: Images of another rank, such as several views.
        """
        if len(images.shape) != 4:
            raise InputError(
                f"expected images [B, H, W, 3], received {tuple(images.shape)}; several views "
                "[B, V, H, W, 3] are for fit and evaluate"
            )
        return self.encoder(images, training=training)

    def embed_views(self, views: microbatching.ViewTensors, training: bool = False) -> tf.Tensor:
        """Returns the projections `[B, V, P]` of views `[B, V, H, W, 3]`, at least in float32."""
        if self.finish_views is not None:
            views = self.finish_views(*views)
        if views.shape.rank != 5:
            raise InputError(
                f"expected views [B, V, H, W, 3], received {views.shape}; data.load and "
                "tf.stack(list_of_views, axis=1) give this form"
            )
        shape = tf.shape(views)
        images = tf.reshape(views, tf.concat([shape[:1] * shape[1:2], shape[2:]], axis=0))
        images.set_shape([None, *views.shape[2:]])
        outputs = self.encoder(images, training=training)
        if self.projector is not None:
            outputs = self.projector(outputs, training=training)
        outputs = tf.reshape(outputs, [shape[0], shape[1], outputs.shape[-1]])
        if outputs.dtype != tf.float64:
            outputs = tf.cast(outputs, tf.float32)
        return tf.ensure_shape(outputs, [*views.shape[:2], None])

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step: all views forward, the loss over the batch, and the optimizer's update."""
        views, side, weight = keras.utils.unpack_x_y_sample_weight(data)
        embeddings, penalty, backward = self._pass(views, training=True)
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            loss, values = self._loss_of(embeddings, side, weight)
            # Gradients are summed over replicas.
            share = tf.cast(1 / self.distribute_strategy.num_replicas_in_sync, loss.dtype)
            scaled = self.optimizer.scale_loss(share * loss)
        gradients, states = backward(
            tape.gradient(scaled, embeddings), self.optimizer.scale_loss(share)
        )
        trained, _, moved = self._roles()
        finite, loss = apply_gradients(
            self.optimizer,
            gradients,
            trained,
            list(zip(moved, states, strict=True)),
            share * (loss + penalty),
        )
        self._means["skipped"].update_state(1 - tf.cast(finite, tf.float32))
        self._show(values, penalty, tf.math.is_finite(loss))
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The same loss and metrics without an update."""
        views, side, weight = keras.utils.unpack_x_y_sample_weight(data)
        embeddings, penalty, _ = self._pass(views, training=False)
        _, values = self._loss_of(embeddings, side, weight)
        self._show(values, penalty, tf.constant(True))
        return self.get_metrics_result()

    def _pass(
        self, views: microbatching.ViewTensors, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, microbatching.Backward]:
        """Embeddings, penalty, and what takes the gradient: see `microbatching`."""
        if self.finish_views is None:
            views = tf.convert_to_tensor(views)
        weights, frozen, states = (
            [tf.convert_to_tensor(variable) for variable in role] for role in self._roles()
        )
        function = self._compiled_encode if self.encoder_is_compiled else self._encode

        def encode(weights: list, states: list, views: microbatching.ViewTensors) -> tuple:
            return function(weights, frozen, states, views, training)

        size = self.microbatch_size
        if size is None or size == tf.nest.flatten(views)[0].shape[0]:
            return microbatching.full_batch(encode, weights, states, views)
        return microbatching.microbatched(encode, weights, states, views, size, self._collective)

    def _encode(
        self,
        weights: list,
        frozen: list,
        states: list,
        views: microbatching.ViewTensors,
        training: bool,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """`embed_views` as a function of all values that it reads."""
        roles = self._roles()
        values = [*weights, *frozen, *states]
        variables = [variable for role in roles for variable in role]
        with keras.StatelessScope(
            list(zip(variables, values, strict=True)), collect_losses=True
        ) as scope:
            embeddings = self.embed_views(views, training)
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

    def _loss_of(
        self, embeddings: tf.Tensor, side: Any, weight: tf.Tensor | None
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The scalar loss of embeddings `[B, V, P]`, and what is shown of it."""
        if getattr(self.loss, "reduction", None) != "sum_over_batch_size" or not hasattr(
            self.loss, "rows"
        ):
            raise InputError(
                "loss: expected compile(loss=XSampleContrastiveLoss(...)) with its default "
                f"reduction, received {self.loss!r}"
            )
        rows, statistics = self.loss.rows(self._side_for_loss(side), embeddings)
        weighted = rows if weight is None else rows * tf.cast(weight, rows.dtype)
        loss = tf.reduce_mean(weighted)
        entropy = statistics["target_entropy"]
        values = statistics | {
            "loss": loss,
            "kl": rows - entropy,
            "effective_positives": tf.exp(entropy),
            "projection_deviation": projection_deviation(tf.stop_gradient(embeddings)),
        }
        if isinstance(side, dict) and "substituted" in side:
            values["substituted"] = tf.cast(side["substituted"], tf.float32)
        return loss, values

    def _show(self, values: dict[str, tf.Tensor], penalty: tf.Tensor, finite: tf.Tensor) -> None:
        """Takes values into the means of `METRICS`, unless the step's loss is not finite."""
        values["loss"] += tf.cast(penalty, values["loss"].dtype)
        for name, value in values.items():
            counts = tf.fill(tf.shape(value), tf.cast(finite, tf.float32))
            self._means[name].update_state(tf.where(finite, value, 0), counts)

    def _side_for_loss(self, side: Any) -> Any:
        wanted = self.loss.graph.features
        if not isinstance(side, dict) or wanted == "index":
            return side
        if wanted not in side:
            raise InputError(
                f"{type(self.loss.graph).__name__}: expected {wanted!r} in the dataset, received "
                f"{', '.join(sorted(side)) or 'nothing'}; prepare the data with it or use "
                "another graph"
            )
        return side[wanted]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Means since the last reset, of `METRICS`."""
        return list(self._means.values())

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, serialised."""
        return {
            "name": self.name,
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "projector": keras.saving.serialize_keras_object(self.projector),
            "microbatch_size": self.microbatch_size,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "XSampleModel":
        """Builds the model from `get_config`'s result, with fresh weights."""
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("encoder", "projector")
        }
        return cls(**{**config, **parts})
