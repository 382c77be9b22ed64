"""What `fit`, `evaluate` and `train_on_batch` take, and what of it reaches the step."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.losses.base import needed_features, reader_of
from xsample_tf.models import inputs, microbatching, pixels, watch
from xsample_tf.models.encoding import EncodingModel

_DATA = ("x", "y", "sample_weight")


class FedModel(EncodingModel):
    """An encoding model with the doors through which a batch comes to its steps."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.unusable_captions = watch.Captions()
        self._class_weight: dict[int, float] | None = None
        self._looked_at = False

    def fit(
        self, x: Any = None, y: Any = None, *arguments: Any, **options: Any
    ) -> keras.callbacks.History:
        """As Keras's, with one argument more, by name.

        Args:
            x: Views, or a dataset of batches.
            y: Side information, where x is arrays.
            *arguments: As in Keras.
            **options: As in Keras. `class_weight` weights images by their "label". `max_skipped`
                is the share of an epoch's steps above which skipped ones, whose loss or gradient
                was not finite, end the training; by default they are warned of.

        Raises:
            InputError: What was given does not fit; a dataset without an end has no number of
                steps; or more steps were skipped than allowed.
        """
        watching = watch.Watch(options.pop("max_skipped", None))
        given = inspect.signature(keras.Model.fit).bind(self, x, y, *arguments, **options).arguments
        given.pop("self")
        self._class_weight = inputs.check_class_weight(given.pop("class_weight", None))
        whole = self._joined(*(given.get(name) for name in _DATA))
        given |= dict(zip(_DATA, whole, strict=True))
        if isinstance(given.get("validation_data"), list | tuple):
            unpacked = keras.utils.unpack_x_y_sample_weight(tuple(given["validation_data"]))
            packed = self._joined(*unpacked)
            given["validation_data"] = keras.utils.pack_x_y_sample_weight(*packed)
        callbacks = given.get("callbacks")
        if isinstance(callbacks, keras.callbacks.CallbackList):
            watching.set_model(self)
            callbacks.append(watching)
        else:
            several = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
            given["callbacks"] = [*filter(None, several), watching]
        inputs.check_ends(given.get("x"), given.get("steps_per_epoch"), "steps_per_epoch")
        held_out = given.get("validation_data")
        inputs.check_ends(held_out, given.get("validation_steps"), "validation_steps")
        self._looked_at = False
        try:
            return super().fit(**given)
        finally:
            self._class_weight = None

    def evaluate(
        self, x: Any = None, y: Any = None, *arguments: Any, **options: Any
    ) -> list[float] | dict[str, float]:
        """As Keras's."""
        bound = inspect.signature(keras.Model.evaluate).bind(self, x, y, *arguments, **options)
        given = dict(bound.arguments)
        given.pop("self")
        given |= given.pop("kwargs", {})
        whole = self._joined(*(given.get(name) for name in _DATA))
        inputs.check_ends(given.get("x"), given.get("steps"), "steps")
        self._looked_at = False
        result = super().evaluate(**given | dict(zip(_DATA, whole, strict=True)))
        self.unusable_captions.look()
        return result

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> list[float] | dict[str, float]:
        """As Keras's; on several replicas each takes its share of the rows."""
        self._class_weight = inputs.check_class_weight(class_weight)
        try:
            return super().train_on_batch(x, y, sample_weight, return_dict=return_dict)
        finally:
            self._class_weight = None

    def _joined(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Arrays as Keras's adapters take them; strings they do not."""
        if self.compiled and y is not None and not isinstance(y, list | tuple):
            side = {
                name: inputs.array_of(value, name, reader_of(self.loss))
                for name, value in self._selected((x, y))[1].items()
            }
            y = side if isinstance(y, Mapping) else next(iter(side.values()), y)
        return inputs.joined(x, y, sample_weight)

    def _function_key(self) -> Any:
        return super()._function_key(), self._class_weight

    def _selected(self, data: Any) -> tuple[Any, dict[str, Any], Any]:
        """Views, side information and weight of a batch, as far as the step needs them."""
        loss = self.loss
        usable = hasattr(loss, "rows") and (hasattr(loss, "features") or hasattr(loss, "graph"))
        if getattr(loss, "reduction", None) != "sum_over_batch_size" or not usable:
            raise InputError(
                "loss: expected compile(loss=XSampleContrastiveLoss(...)) with its default "
                f"reduction, received {loss!r}"
            )
        return inputs.select(data, loss, self._more())

    def _more(self) -> tuple[str, ...]:
        """Names of side information that is kept beside what the loss needs, where it is there."""
        labels = self._class_weight is not None or self._compile_metrics is not None
        return ("label",) if labels else ()

    def _admitted(self, data: Any, training: bool) -> Any:
        batch = self._on_devices(self._selected(data))
        for views, side, weight in self._shares(batch):
            pixels.check_structure(views, self.finish_views is not None)
            images = inputs.check_rows(views, side, weight)
            if training and None not in (self.microbatch_size, images):
                microbatching.check_size(images, self.microbatch_size)
            if not self._looked_at:
                pixels.check_range(views, self.finish_views, self.input_range)
                self._build_metrics(side)
        self._looked_at = True
        return batch

    def _on_devices(self, batch: Any) -> Any:
        """The batch as tensors; of arrays, as for `train_on_batch`, each replica has its share."""
        leaves = [leaf for leaf in tf.nest.flatten(batch) if leaf is not None]
        if any(isinstance(leaf, tf.distribute.DistributedValues) for leaf in leaves):
            return batch
        if not all(map(tf.is_tensor, leaves)):
            batch = tf.nest.map_structure(_tensor, batch)
        strategy = self.distribute_strategy
        if strategy.num_replicas_in_sync == 1:
            return batch
        count = len(strategy.extended.worker_devices)  # Those of this process.

        def split(rows: tf.Tensor | None) -> Any:
            if rows is None:
                return None
            if rows.shape[0] % count:
                raise InputError(
                    f"batch: expected images that {count} replicas share equally, received "
                    f"{rows.shape[0]}"
                )
            parts = tf.split(rows, count)
            return strategy.experimental_distribute_values_from_function(
                lambda context: parts[context.replica_id_in_sync_group % count]
            )

        return tf.nest.map_structure(split, batch)

    def _shares(self, batch: Any) -> list[Any]:
        """The batch of each replica of this process."""
        strategy = self.distribute_strategy
        if strategy.num_replicas_in_sync == 1:
            return [batch]
        local = [
            None if leaf is None else strategy.experimental_local_results(leaf)
            for leaf in tf.nest.flatten(batch)
        ]
        count = max(len(values) for values in local if values is not None)
        return [
            tf.nest.pack_sequence_as(batch, [values and values[i] for values in local])
            for i in range(count)
        ]

    def _build_metrics(self, side: Mapping[str, Any]) -> None:
        """Makes the variables of `compile`'s metrics, which no replica can make within a step."""
        metrics = self._compile_metrics
        if metrics is None or metrics.built:
            return
        names = needed_features(self.loss)
        target = side.get(names[0] if len(names) == 1 else "label")
        target_shape = (None,) if target is None else (None, *target.shape[1:])
        size = getattr(self.projector or self.encoder, "output_shape", (None, None))[-1]
        with self.distribute_strategy.scope():
            metrics.build(keras.KerasTensor(target_shape), keras.KerasTensor((None, None, size)))

    def _remarks(self, data: Any) -> dict[str, tf.Tensor]:
        missing = inputs.captionless(self._selected(data)[1], self.loss)
        return {} if missing is None else {"captionless": missing}

    def _take_remarks(self, data: Any, remarks: dict[str, Any]) -> None:
        if "captionless" not in remarks:
            return
        local = self.distribute_strategy.experimental_local_results
        side = keras.utils.unpack_x_y_sample_weight(data)[1]
        keys = side.get("key") if isinstance(side, Mapping) else None
        self.unusable_captions.take(
            local(remarks["captionless"]), None if keys is None else local(keys)
        )


def _tensor(value: Any) -> Any:
    return (
        value if value is None or tf.is_tensor(value) else tf.convert_to_tensor(np.asarray(value))
    )
