"""The model that `fit` trains: an encoder, a projector, and the contrastive step."""

from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.models.replicated import ReplicatedModel

# What is shown of a step; means over images, and over replicas.
METRICS = (
    "loss",
    "kl",
    "target_entropy",
    "effective_positives",
    "own_mass",
    "alignment",
    "uniformity",
    "projection_deviation",
    "substituted",
)


@keras.saving.register_keras_serializable("xsample_tf")
class XSampleModel(ReplicatedModel):
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
        self.encoder = encoder
        self.projector = projector
        self._check_sizes()
        self._means = {name: keras.metrics.Mean(name) for name in METRICS}
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

    def embed_views(self, views: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the projections `[B, V, P]` of views `[B, V, H, W, 3]`, at least in float32."""
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
        with tf.GradientTape() as tape:
            # The optimizer sums gradients over replicas.
            loss = (
                self._loss_of(data, training=True) / self.distribute_strategy.num_replicas_in_sync
            )
            scaled = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(
            zip(tape.gradient(scaled, variables), variables, strict=True)
        )
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The same loss and metrics without an update."""
        self._loss_of(data, training=False)
        return self.get_metrics_result()

    def _loss_of(self, data: Any, training: bool) -> tf.Tensor:
        """The scalar loss of a batch; updates the metrics."""
        if getattr(self.loss, "reduction", None) != "sum_over_batch_size" or not hasattr(
            self.loss, "rows"
        ):
            raise InputError(
                "loss: expected compile(loss=XSampleContrastiveLoss(...)) with its default "
                f"reduction, received {self.loss!r}"
            )
        views, side, weight = keras.utils.unpack_x_y_sample_weight(data)
        embeddings = self.embed_views(views, training=training)
        rows, statistics = self.loss.rows(self._side_for_loss(side), embeddings)
        weighted = rows if weight is None else rows * tf.cast(weight, rows.dtype)
        loss = tf.reduce_mean(weighted) + sum(self.losses, 0.0)
        entropy = statistics["target_entropy"]
        values = statistics | {
            "loss": loss,
            "kl": rows - entropy,
            "effective_positives": tf.exp(entropy),
            "projection_deviation": _deviation(tf.stop_gradient(embeddings)),
        }
        if isinstance(side, dict) and "substituted" in side:
            values["substituted"] = tf.cast(side["substituted"], tf.float32)
        for name, value in values.items():
            self._means[name].update_state(value)
        return loss

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
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "XSampleModel":
        """Builds the model from `get_config`'s result, with fresh weights."""
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("encoder", "projector")
        }
        return cls(**{**config, **parts})


def _deviation(embeddings: tf.Tensor) -> tf.Tensor:
    """Standard deviation `[P]` of the normalised projections `[B, V, P]` of all replicas.

    Its mean is 1 / sqrt(P) where they fill their P dimensions; a collapse shows as a drop.
    """
    unit = tf.math.l2_normalize(embeddings, axis=-1)
    moments = tf.stack([tf.reduce_mean(part, axis=[0, 1]) for part in (unit, tf.square(unit))])
    context = tf.distribute.get_replica_context()
    if context is not None and context.num_replicas_in_sync > 1:
        moments = context.all_reduce("MEAN", moments)
    return tf.sqrt(tf.maximum(moments[1] - tf.square(moments[0]), 0))
