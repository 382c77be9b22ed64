"""Cross-entropy: a linear classifier on the encoder, trained with it."""

from typing import Any

import keras
import tensorflow as tf

from xsample_tf import data, losses, models
from xsample_tf.errors import InputError
from xsample_tf.graphs.base import Side
from xsample_tf.registry import Option
from xsample_tf.training import stream
from xsample_tf.training.model import make_encoder
from xsample_tf.training.objectives.base import Objective, register
from xsample_tf.training.options import Options
from xsample_tf.training.run_data import RunData

_SMOOTHING = Option(
    "label_smoothing", 0.0, "Share of the target on all classes alike.", minimum=0, maximum=1
)


@register("cross_entropy", options=[_SMOOTHING])
class CrossEntropy(Objective):
    """Supervised learning: a linear classifier on the encoder, by labels."""

    presets = {"views": 1}
    fixed = {
        "graph": "label",
        "target_temperature": "graph",
        "learn_temperature": False,
        "exclude_self": True,
        "center": False,
        "text_tower": "",
        "projector_hidden": 2048,
    }
    progress = ("loss", "accuracy")
    features = "label"

    @classmethod
    def check(cls, options: Options) -> None:
        """Raises `InputError` for settings of a projector or a temperature: there are none."""
        for name in ("temperature", "projector_dim", "projector_layers"):
            if getattr(options, name) is not None:
                raise InputError(
                    f"{name}: objective 'cross_entropy' has none, received "
                    f"{getattr(options, name)!r}; leave {name} out"
                )

    def __init__(self, options: Options, dataset: data.Dataset, label_smoothing: float):
        super().__init__(options, dataset)
        RunData(options, dataset).check_labels()
        self._smoothing, self._classes = label_smoothing, len(dataset.class_names)

    @property
    def compared(self) -> tuple[int, int]:
        """A row of logits for each view."""
        return self.options.views, self._classes

    def make_stream(self, first_step: int = 0, share: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """Returns the batches of `(views, side)` that `XSampleModel` takes."""
        return stream.make_stream(self.options, self.features, first_step, share)

    def make_model(self) -> models.XSampleModel:
        """Returns encoder and classifier with fresh weights."""
        encoder = make_encoder(self.options)
        classifier = keras.Sequential(
            [
                keras.Input(encoder.output_shape[1:], name="embedding"),
                keras.layers.Dense(self._classes, dtype="float32", name="logits"),
            ],
            name="classifier",
        )
        return models.XSampleModel(
            encoder,
            classifier,
            self.options.microbatch_size or None,
            stream.finish_views(self.options),
        )

    def make_loss(self) -> losses.CrossEntropyLoss:
        """Returns the cross-entropy of the labels."""
        return losses.CrossEntropyLoss(label_smoothing=self._smoothing)

    def side_information(self, images: int) -> Side:
        """Returns the labels of the stream's first images, `[images]`."""
        return stream.side_information(self.options, self.features, images)

    def describe(self) -> str:
        """Returns how many classes are told apart."""
        return f"classes: {self._classes}, told apart by a linear classifier on the encoder"

    def evaluation_settings(self) -> dict[str, Any]:
        """Has the encoder's output compared, since logits are no projection."""
        return {"projector": None}
