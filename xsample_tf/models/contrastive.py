"""The model that `fit` trains: an encoder, a projector, and the contrastive step."""

import inspect
import os
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.losses.base import shown_statistics, with_derived
from xsample_tf.models import inputs, parts, serving, temperature, watch
from xsample_tf.models.feeding import FedModel
from xsample_tf.models.gradient_step import apply_gradients, check_optimizer
from xsample_tf.models.step_metrics import StepMetrics, projection_deviation


@keras.saving.register_keras_serializable("xsample_tf")
class XSampleModel(FedModel):
    """Trains an encoder by a loss over the views of the whole batch (arXiv 2407.18134).

    `fit` takes batches `(views, side)` or `(views, side, sample_weight)`, from whatever Keras takes
    them from:

    - views: `[B, V, H, W, 3]`, or a tuple or dict of V tensors `[B, H, W, 3]`, those of a dict in
      the order of their names; floats in [0, 1], or uint8, which is scaled to that;
    - side: a dict of what the stream has ("embedding" `[B, T]`, "label" `[B]`, ...), of which the
      loss gets what it names, so that another graph needs no other dataset; or that alone. A
      caption vector that is not finite counts as no caption, and is named in a warning;
    - sample_weight: `[B]` or `[B, 1]`.

    All views pass the encoder in one forward pass, so batch statistics are those of all views.

    `model(images)` is the encoder's output `[B, D]` for images `[B, H, W, 3]`; `model.encoder` is
    what is kept after training, the projector is not (section 4 of the paper).

    Args:
        encoder: Keras model or layer, images `[B, H, W, 3]` to `[B, D]`; built.
        projector: Keras model or layer, `[B, D]` to the `[B, P]` that the loss compares; built.
            Defaults to None, which compares the encoder's output.
        microbatch_size: Images of one replica that pass the encoder at a time. The loss is that of
            the whole batch, at the memory of a microbatch and the cost of a second forward pass.
            Batch norm then has the statistics of the microbatch. Defaults to None: all at once.
        finish_views: Makes views on the device of the parts that the dataset has in their place, a
            tuple: `views.SimCLR(...).finish`, for a stream of its `crops`. Defaults to None.
        output: Name of one output of an encoder with several. Defaults to None.
        input_range: Lowest and highest value of the views. The first step's are looked at, and
            uint8 is scaled to it. Defaults to (0, 1); None takes all values as they are, for an
            encoder of a range of its own.
        learn_temperature: Whether the model learns the loss's temperature, from the loss's own on
            and within 0.01 to 1, and shows it as the metric `temperature`. Defaults to False.
        learn_bias: Whether the model learns the loss's bias, from the loss's own on, and shows it
            as the metric `bias`. Defaults to False.
        name: As in Keras.

    Raises:
        InputError: An encoder or projector that is none of Keras 3, is not built, has several
            outputs or another shape, or was made outside of the strategy's scope.

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
        output: str | None = None,
        input_range: tuple[float, float] | None = (0.0, 1.0),
        learn_temperature: bool = False,
        learn_bias: bool = False,
        name: str = "x_sample_model",
        **arguments: Any,
    ):
        super().__init__(
            encoder,
            projector,
            microbatch_size,
            finish_views,
            output,
            input_range,
            name=name,
            **arguments,
        )
        self._learned = temperature.LearnedScalars(self, learn_temperature, learn_bias)
        self.log_temperature = self._learned.variables.get("temperature")
        self.bias = self._learned.variables.get("bias")
        self._means = StepMetrics()

    def compile(self, *arguments: Any, **options: Any) -> None:
        """As Keras's. Metrics get the one thing that the loss needs, or labels, and projections.

        Raises:
            InputError: Loss weights; a subclass's own `compute_loss`; an optimizer or parts from
                outside of the strategy's scope; an optimizer that cannot be followed; a loss that
                takes nothing of what is learned.
        """
        given = inspect.signature(keras.Model.compile).bind(self, *arguments, **options).arguments
        if given.get("loss_weights") is not None:
            raise InputError(
                f"loss_weights: expected none, since there is one loss, received "
                f"{given['loss_weights']!r}; scale the learning rate, or give sample_weight"
            )
        for name in ("compute_loss", "compute_metrics"):
            if getattr(type(self), name) is not getattr(keras.Model, name):
                raise InputError(
                    f"{name}: expected Keras's own, received that of {type(self).__name__}, which "
                    "this model's steps do not call; override train_step, or the loss's rows"
                )
        super().compile(*arguments, **options)
        check_optimizer(self.optimizer)
        self._check_scope()
        self._learned.start(self.loss)
        with self.distribute_strategy.scope():
            self._means = StepMetrics(shown_statistics(self.loss), tuple(self._learned.variables))

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as a saved model was compiled."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        with self.distribute_strategy.scope():
            self.optimizer.build(self.trainable_variables)

    def make_train_function(self, force: bool = False) -> Callable:
        """Makes the function of an iterator that `fit` calls.

        Raises:
            InputError: There is no optimizer, or nothing to train.
        """
        if self.optimizer is None:
            raise InputError("optimizer: expected one, as compile('adam', loss), received None")
        if not self.trainable_variables:
            raise InputError(
                "encoder: expected weights to train, received none that is trainable; set "
                "encoder.trainable = True, or give a projector"
            )
        function = super().make_train_function(force)
        self._learned.keep_from_decay(self.optimizer)  # Only now it is built for certain.
        return function

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step: all views forward, the loss over the batch, and the optimizer's update."""
        views, side, weight = self._selected(data)
        embeddings, penalty, backward = self._pass(self._inputs(views, side), training=True)
        learned = self._learned.values()
        sources = [embeddings, *learned.values()]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            loss, rows, values = self._loss_of(embeddings, learned, side, weight, training=True)
            # Gradients are summed over replicas.
            share = tf.cast(1 / self.distribute_strategy.num_replicas_in_sync, loss.dtype)
            scaled = self.optimizer.scale_loss(share * loss)
        temperature.check_no_variables(tape)
        by_embeddings, *by_learned = tape.gradient(scaled, sources)
        gradients, states = backward(by_embeddings, self.optimizer.scale_loss(share))
        trained, _, moved = self._roles()
        finite, summed = apply_gradients(
            self.optimizer,
            self._learned.with_own(gradients, trained, by_learned),
            trained,
            list(zip(moved, states, strict=True)),
            share * (loss + penalty),
        )
        self._means.by_name["skipped"].update_state(1 - tf.cast(finite, tf.float32))
        right = tf.math.is_finite(summed)
        self._show(rows, values, penalty, right)
        # With float16 a step with a sound loss is skipped to find the scale.
        scaling = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        return watch.with_nan(self.get_metrics_result(), ~(right if scaling else finite))

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The same loss and metrics without an update."""
        views, side, weight = self._selected(data)
        embeddings, penalty, _ = self._pass(self._inputs(views, side), training=False)
        learned = self._learned.values()
        _, rows, values = self._loss_of(embeddings, learned, side, weight, training=False)
        self._show(rows, values, penalty, tf.constant(True))
        return self.get_metrics_result()

    def embed_batch(self, data: Any, training: bool = False) -> tf.Tensor:
        """Returns what the loss compares of a batch as `fit` takes it, `[B, V, P]`."""
        views, side, _ = self._selected(data)
        return self._embed(self._inputs(views, side), training)

    def _loss_of(
        self,
        embeddings: tf.Tensor,
        learned: dict[str, tf.Tensor],
        side: dict[str, Any],
        weight: tf.Tensor | None,
        training: bool,
    ) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        """The scalar loss of embeddings `[B, V, P]`, its rows `[B]`, and what is shown of them."""
        needed = inputs.side_of(side, self.loss)
        learned = self._learned.arguments(learned)
        rows, statistics = self.loss.rows(needed, embeddings, **learned)
        weight = inputs.weight_of(weight, rows.dtype)
        if training and self._class_weight is not None:
            if weight is not None:
                raise InputError("class_weight: expected no sample_weight beside it, received both")
            weight = inputs.class_weights_of(side, self.loss, self._class_weight, rows.dtype)
        loss = tf.reduce_mean(rows if weight is None else rows * weight)
        projections = tf.stop_gradient(embeddings)
        values = with_derived(rows, statistics) | {
            "loss": loss,
            "projection_deviation": projection_deviation(projections),
        }
        if "substituted" in side:
            values["substituted"] = tf.cast(side["substituted"], tf.float32)
        for name, value in learned.items():
            self._means.by_name[name].update_state(tf.stop_gradient(value))
        if self._compile_metrics is not None:
            alone = tf.is_tensor(needed)
            target = needed if alone else side.get("label", tf.zeros_like(rows))
            self._update_metrics(target, projections, weight)
        return loss, rows, values

    def _update_metrics(
        self, target: tf.Tensor, projections: tf.Tensor, weight: tf.Tensor | None
    ) -> None:
        try:
            self._compile_metrics.update_state(target, projections, weight)
        except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
            names = ", ".join(metric.name for metric in self._compile_metrics.metrics)
            raise InputError(
                f"metrics: {names} cannot compare what the loss needs, {tuple(target.shape)}, "
                f"with projections {tuple(projections.shape)} ({str(error).splitlines()[0]}); "
                "give metrics of these, or none"
            ) from error

    def _show(
        self,
        rows: tf.Tensor,
        values: dict[str, tf.Tensor],
        penalty: tf.Tensor,
        finite: tf.Tensor,
    ) -> None:
        values["loss"] += tf.cast(penalty, values["loss"].dtype)
        self._means.update(rows, values, finite)

    def export(
        self,
        filepath: str | os.PathLike,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        image_size: int | None = None,
        **options: Any,
    ) -> None:
        """Writes the encoder as a SavedModel with signatures, or as Keras's `export` does.

        `serving_default(images)` takes float32 `[B, H, W, 3]` in [0, 1] of any size,
        `embed_jpeg(jpeg)` the contents of files; both give {"embedding": float32 `[B, D]`}. See
        `xsample_tf.export`, which has the others, and writes a card and the Keras model beside it.

        Args:
            filepath: Where to write.
            format: As in Keras; another one, as "onnx", is Keras's own export of the encoder.
            verbose: As in Keras.
            input_signature: As in Keras, whose own export with that signature it is then. Defaults
                to None.
            image_size: Side of the images that the encoder gets. Defaults to the one that it was
                built for.
            **options: As in Keras.

        Raises:
            InputError: The side is not known, or the model has no `input_range`.
        """
        if format != "tf_saved_model" or input_signature is not None:
            self.encoder.export(filepath, format, verbose, input_signature, **options)
            return
        height, width, _ = parts.image_shape(self.encoder)
        size = height if image_size is None and height == width else image_size
        if size is None:
            raise InputError(
                "image_size: expected the side of the encoder's images, which takes any, received "
                "None; give model.export(path, image_size=224)"
            )
        if self.input_range is None:
            raise InputError(
                "export: expected a model with an input_range, received None, which does not say "
                "what to make of pixels; use model.encoder.export(path)"
            )
        encoder = serving.in_float32(self.encoder)
        serving.embedding_size(encoder, size)
        serving.save_signatures(encoder, filepath, size, self.input_range)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Means since the last reset, of the loss's statistics, then the metrics of `compile`."""
        own = list(self._means.by_name.values())
        return own if self._compile_metrics is None else [*own, self._compile_metrics]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, serialised; `encoder` has the output chosen.

        Raises:
            InputError: `finish_views` cannot be serialised.
        """
        return {
            **super(keras.Model, self).get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "projector": keras.saving.serialize_keras_object(self.projector),
            "microbatch_size": self.microbatch_size,
            "finish_views": parts.serialized_function(self.finish_views),
            "output": None,
            "input_range": self.input_range,
            "learn_temperature": self.log_temperature is not None,
            "learn_bias": self.bias is not None,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "XSampleModel":
        """Builds the model from `get_config`'s result, with fresh weights."""
        made = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("encoder", "projector")
        }
        finish = parts.deserialized_function(config.get("finish_views"), custom_objects)
        return cls(**{**config, **made, "finish_views": finish})
