"""Objectives of image and text in one space: what they have in common."""

from collections.abc import Callable

import tensorflow as tf

from xsample_tf import data, evaluation, losses, models
from xsample_tf.errors import InputError
from xsample_tf.models import serving
from xsample_tf.training import stream
from xsample_tf.training.model import make_encoder, make_projector
from xsample_tf.training.objectives.x_sample import XSample
from xsample_tf.training.options import Options
from xsample_tf.training.text_towers import make_text_tower


class ImageText(XSample):
    """Relates each view of an image to the texts of the batch; the views' losses are averaged.

    Attributes:
        text_tower: What embeds texts.
    """

    presets = {
        "views": 1,
        "temperature": 0.07,
        "learn_temperature": True,
        "text_tower": "frozen",
        "projector_dim": 512,
        "projector_layers": 1,
    }
    fixed = {"exclude_self": True}
    sides = 2
    learns_bias = False

    @classmethod
    def check(cls, options: Options) -> None:
        """Raises `InputError` for a target temperature that is none, or tokens of a mean."""
        options.parse_target_temperature()
        if options.text_tower != "frozen" and options.captions == "mean":
            raise InputError(
                f"captions: expected draw with text_tower={options.text_tower}, which reads one "
                "caption at a time, received mean"
            )

    def __init__(self, options: Options, dataset: data.Dataset):
        super().__init__(options, dataset)
        self.text_tower = make_text_tower(options, dataset)

    @property
    def progress(self) -> tuple[str, ...]:
        """The loss, and what of it is learned."""
        learned = ("temperature", "bias") if self.learns_bias else ("temperature",)
        return "loss", *(learned if self.options.learn_temperature else ())

    @property
    def features(self) -> tuple[str, ...]:
        """What of the stream graph and text tower need."""
        return *super().features, self.text_tower.feature

    def make_stream(self, first_step: int = 0, share: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """Returns the batches of `(views, side)` that `ImageTextModel` takes."""
        return stream.make_stream(
            self.options, self.features, first_step, share, self.text_tower.tokenizer
        )

    def make_model(self) -> models.ImageTextModel:
        """Returns both towers with fresh weights."""
        options = self.options
        encoder = make_encoder(options)
        projector = make_projector(options, encoder.output_shape[-1])
        return models.ImageTextModel(
            encoder,
            self.text_tower.make_encoder(),
            projector,
            make_projector(options, self.text_tower.size, "text_projector"),
            self.text_tower.feature,
            options.microbatch_size or None,
            stream.finish_views(options),
            learn_temperature=options.learn_temperature,
            learn_bias=self.learns_bias and options.learn_temperature,
        )

    def make_loss(self) -> losses.ImageTextContrastiveLoss:
        """Returns the two-sided loss over the graph."""
        return losses.ImageTextContrastiveLoss(
            self.graph,
            temperature=self.options.temperature,
            target_temperature=self.target.target_temperature,
        )

    def text_side(
        self, model: models.ImageTextModel, log: Callable[[str], None]
    ) -> serving.TextSide | None:
        """Returns strings to the space of images, unless the frozen encoder is not TensorFlow."""
        try:
            read = self.text_tower.read()
        except InputError as error:
            log(f"embed_text is left out of the export: {error}")
            return None
        towers = (model.text_encoder, model.text_projector)
        return serving.TextSide(read, [one for one in towers if one is not None], model.projector)

    def text_embedder(self, model: models.ImageTextModel) -> evaluation.TextEmbedder:
        """Returns the text tower with its projection, of captions as the stream has them."""
        tokenizer = self.text_tower.tokenizer
        if tokenizer is None:
            return evaluation.TextEmbedder("vectors", model.embed_text)
        return evaluation.TextEmbedder("texts", lambda texts: model.embed_text(tokenizer(texts)))

    def describe(self) -> str:
        """Returns what embeds texts and where the temperature begins, then the target."""
        options = self.options
        learned = "learned from" if options.learn_temperature else "fixed at"
        towers = (
            f"texts: {self.text_tower.describe()}; temperature {learned} {options.temperature:g}"
        )
        return f"{towers}\n{super().describe()}" if self.graph.of_captions else towers
