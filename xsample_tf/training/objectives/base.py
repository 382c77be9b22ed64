"""What differs between objectives, behind one class."""

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras
import tensorflow as tf

from xsample_tf import data, evaluation
from xsample_tf.graphs.base import Side
from xsample_tf.models.distributed_model import DistributedModel
from xsample_tf.models.serving import TextSide
from xsample_tf.training.options import Options
from xsample_tf.training.settings import OBJECTIVES

register = OBJECTIVES.register


class Objective:
    """What a run trains for: its batches, model, loss, and what is shown of them.

    A new objective derives from this class, or from one that is near (`XSample`), and is registered
    under its name, which `--objective` then takes. It is made once a run, before anything
    expensive, and raises `InputError` for data that it cannot use.

    Args:
        options: The settings of the run.
        dataset: What the first data directory says.
        **own: The options that the objective declares where it is registered.

    Attributes:
        presets: Values of settings where none is given, by name, such as {"graph": "class"}.
        fixed: Values of settings of which there is no other, by name: another one that is given is
            an error.
        progress: Names of the model's metrics that the progress line shows, in order.
        options: The settings of the run.
        dataset: What the first data directory says.

    Example:
        >>> @objectives.register("simclr")
        ... class SimCLR(objectives.XSample):
        ...     fixed = {"graph": "instance"}
    """

    presets: ClassVar[Mapping[str, Any]] = {}
    fixed: ClassVar[Mapping[str, Any]] = {}
    progress: ClassVar[tuple[str, ...]] = ("loss",)

    @classmethod
    def check(cls, options: Options) -> None:
        """Raises `InputError` for settings that the objective cannot use, before there is data."""

    def __init__(self, options: Options, dataset: data.Dataset):
        self.options, self.dataset = options, dataset

    def with_options(self, **changes: Any) -> "Objective":
        """Returns the same objective with other settings of batch, model or stream.

        What was computed of the run's data, such as a target temperature, stays.
        """
        other = copy.copy(self)
        other.options = dataclasses.replace(self.options, **changes)
        return other

    def make_stream(self, first_step: int = 0, share: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """Returns the training batches from a step on.

        Args:
            first_step: The step of the first batch.
            share: With (i, n), part i of n of the rows of each batch.

        Returns:
            An endless dataset of what the model's `train_step` takes.
        """
        raise NotImplementedError(f"abstract: {type(self).__name__} must implement make_stream")

    def make_model(self) -> DistributedModel:
        """Returns the model with fresh weights that depend on the seed alone, not yet compiled.

        It has `encoder`, images `[B, H, W, 3]` to `[B, D]`, which is evaluated and exported, made
        by `model.make_encoder`; `projector`, a layer behind the encoder or None; and
        `encoder_is_compiled`. Where its metrics have "skipped", the steps that were not taken, or
        "substituted", the share of records that could not be read, the run ends when these pass
        `max_skipped` and `max_substituted`.
        """
        raise NotImplementedError(f"abstract: {type(self).__name__} must implement make_model")

    def make_loss(self) -> keras.losses.Loss:
        """Returns the loss that the model is compiled with."""
        raise NotImplementedError(f"abstract: {type(self).__name__} must implement make_loss")

    @property
    def compared(self) -> tuple[int, int]:
        """How many vectors of each image the loss gets, and their length."""
        raise NotImplementedError(f"abstract: {type(self).__name__} must implement compared")

    def side_information(self, images: int) -> Side:
        """Returns what the loss is given of the stream's first images, `[images, ...]`."""
        raise NotImplementedError(f"abstract: {type(self).__name__} must implement it")

    def describe(self) -> str:
        """Returns lines to print before the first step, warnings among them; "" prints none."""
        return ""

    def text_side(self, model: DistributedModel, log: Callable[[str], None]) -> TextSide | None:
        """Returns the text side of a model, for its export; None where it has none.

        Args:
            model: The run's, trained.
            log: Receives a line where a model of two towers has none, with the reason.
        """
        del model, log
        return None

    def text_embedder(self, model: DistributedModel) -> evaluation.TextEmbedder | None:
        """Returns what a model embeds captions by, for its evaluation; None where it has none."""
        del model
        return None

    def evaluation_settings(self) -> dict[str, Any]:
        """Returns fields of `evaluation.Settings` that depend on the objective.

        "projector" among them takes the place of the model's, as None where it has none.
        """
        return {}


def make_objective(options: Options, dataset: data.Dataset) -> Objective:
    """Returns the objective that the options name.

    Raises:
        InputError: The data lacks what the objective needs.
    """
    return OBJECTIVES.make(options.objective, options, dataset, values=options.own)
