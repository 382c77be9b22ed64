"""X-Sample contrastive learning, with any similarity graph."""

import functools
import pathlib
from typing import Any

import tensorflow as tf

from xsample_tf import data, losses, models
from xsample_tf.errors import InputError
from xsample_tf.graphs.base import Side, feature_names
from xsample_tf.graphs.inspection import OWN_MASS_RANGE
from xsample_tf.training import stream
from xsample_tf.training.model import make_encoder, make_projector
from xsample_tf.training.objectives.base import Objective, register
from xsample_tf.training.options import Options
from xsample_tf.training.run_data import make_graph


@register("xclr")
class XSample(Objective):
    """X-Sample: relates the views of a batch as a graph of their captions does (X-CLR).

    Attributes:
        graph: The similarity graph that the options name, for this data.
    """

    presets = {
        "graph": "cosine",
        "views": 2,
        "temperature": 0.1,
        "learn_temperature": False,
        "projector_dim": 128,
        "projector_layers": 2,
    }
    fixed = {"text_tower": ""}
    progress = ("loss", "kl")
    sides = 1

    @classmethod
    def check(cls, options: Options) -> None:
        """Raises `InputError` for fewer than 2 views, or a target temperature that is none."""
        if options.views < 2:
            raise InputError(f"views: expected at least 2, received {options.views}")
        options.parse_target_temperature()

    def __init__(self, options: Options, dataset: data.Dataset):
        super().__init__(options, dataset)
        self.graph = make_graph(options, dataset)

    @functools.cached_property
    def target(self) -> losses.TargetSummary:
        """What the target of the first batch looks like, at the temperature that is trained with.

        Raises:
            InputError: No temperature leaves the mass that is asked for.
        """
        options = self.options
        given, mass = options.parse_target_temperature()
        side = self.side_information(options.batch_size)
        candidates = options.views, options.exclude_self, self.sides
        if mass is not None:
            given = losses.solve_target_temperature(self.graph, side, mass, *candidates)
        return losses.summarize_target(self.graph, side, given, *candidates)

    @property
    def compared(self) -> tuple[int, int]:
        """How many vectors of each image the loss gets, and their length."""
        return self.options.views + self.sides - 1, self.options.projector_dim

    @property
    def features(self) -> tuple[str, ...]:
        """What of the stream the graph needs."""
        return feature_names(self.graph.features)

    def make_stream(self, first_step: int = 0, share: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """Returns the batches of `(views, side)` that `XSampleModel` takes."""
        return stream.make_stream(self.options, self.features, first_step, share)

    def make_model(self) -> models.XSampleModel:
        """Returns encoder and projector with fresh weights."""
        encoder = make_encoder(self.options)
        return models.XSampleModel(
            encoder,
            make_projector(self.options, encoder.output_shape[-1]),
            self.options.microbatch_size or None,
            stream.finish_views(self.options),
            learn_temperature=self.options.learn_temperature,
        )

    def make_loss(self) -> losses.XSampleContrastiveLoss:
        """Returns the loss over the graph."""
        return losses.XSampleContrastiveLoss(
            self.graph,
            temperature=self.options.temperature,
            target_temperature=self.target.target_temperature,
            exclude_self=self.options.exclude_self,
        )

    def side_information(self, images: int) -> Side:
        """Returns what the graph sees of the stream's first images, `[images, ...]`."""
        return stream.side_information(self.options, self.graph.features, images)

    def describe(self) -> str:
        """Returns the target's temperature, mass and spread, and a warning where it is one-sided.

        There is no warning at a graph's own target temperature of 0, as of SimCLR and SupCon: the
        mass is part of what these are.
        """
        options, summary = self.options, self.target
        own = "text" if self.sides == 2 else "other view" + "s" * (options.views > 2)
        text = (
            f"target: temperature {summary.target_temperature:g} leaves "
            f"{summary.own_mass:.2f} of the mass on the image's own {own}; "
            f"entropy {summary.entropy:.2f} nats, "
            f"{summary.effective_positives:.1f} effective positives "
            f"(batch {options.batch_size}, graph {options.graph})"
        )
        low, high = OWN_MASS_RANGE
        defined = summary.target_temperature == self.graph.target_temperature == 0
        if defined or low <= summary.own_mass <= high:
            return text
        extreme = (
            f"hardly ranks an image's own {'text' if self.sides == 2 else 'views'} first"
            if summary.own_mass < low
            else f"hardly differs from {'CLIP' if self.sides == 2 else 'SimCLR'}'s"
        )
        return (
            f"{text}\nwarning: at this batch size and data the target {extreme}; "
            "--target_temperature=auto:0.5 chooses the temperature by this mass, and "
            f"python tools/inspect_graph.py {self._own_flags()} shows the target"
        )

    def _own_flags(self) -> str:
        """Returns the flags of a tool that looks at this run."""
        file = pathlib.Path(self.options.run_dir, "run.flags")
        if self.options.run_dir and file.is_file():
            return f"--flagfile={file}"
        return f"--data_dir={','.join(self.options.data_dir)}"

    def evaluation_settings(self) -> dict[str, Any]:
        """Returns the temperatures of the KL divergence: those of the loss, for captions' graphs.

        Other graphs' target temperature says nothing about captions.
        """
        settings = {"temperature": self.options.temperature}
        if self.graph.of_captions:
            settings["target_temperature"] = self.target.target_temperature
        return settings
