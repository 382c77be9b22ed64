"""Several objectives at once: the weighted sum of their losses, from one forward pass."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from xsample_tf import data, evaluation, losses
from xsample_tf.errors import InputError
from xsample_tf.graphs.base import Side
from xsample_tf.models.distributed_model import DistributedModel
from xsample_tf.models.serving import TextSide
from xsample_tf.registry import Entry, Option
from xsample_tf.training import stream
from xsample_tf.training.objectives.base import Objective, make_objective
from xsample_tf.training.objectives.image_text import ImageText
from xsample_tf.training.objectives.x_sample import XSample
from xsample_tf.training.options import Options
from xsample_tf.training.settings import OBJECTIVES, values_of

_WEIGHTS = Option(
    "objective_weights", "", "Of several objectives: the weights of their losses; else all are 1."
)


class WeightedSum(Objective):
    """The weighted sum of several objectives' losses, `--objective=xclr,clip`.

    All compare the projections of one forward pass. Where one of them has a text tower, so has the
    model, and the others see the images' views alone.

    Attributes:
        names: Those of the objectives.
        members: The objectives.
    """

    names: ClassVar[tuple[str, ...]]

    @classmethod
    def check(cls, options: Options) -> None:
        """Raises `InputError` for settings that one of them cannot use, or other weights."""
        for name in cls.names:
            OBJECTIVES[name].make.check(options.of_member(name))
        _weights(options.own["objective_weights"], cls.names)
        for setting, values in _all_fixed(cls.names).items():
            if getattr(options, setting) not in values:
                raise InputError(
                    f"{setting}: objectives {options.objective!r} have "
                    f"{' and '.join(map(repr, values))}, received {getattr(options, setting)!r}; "
                    f"leave {setting} out"
                )

    def __init__(self, options: Options, dataset: data.Dataset, **own: Any):
        super().__init__(options, dataset)
        self._weights = _weights(own["objective_weights"], self.names)
        self.members = [make_objective(options.of_member(name), dataset) for name in self.names]

    @property
    def _leader(self) -> Objective:
        """The one whose model all share: the first with texts, or that learns a bias besides."""
        with_texts = [one for one in self.members if isinstance(one, ImageText)]
        return max(with_texts, key=lambda one: one.learns_bias, default=self.members[0])

    @property
    def progress(self) -> tuple[str, ...]:
        """The sum, each loss, and the temperature and bias where they are learned."""
        bias = ("bias",) if getattr(self._leader, "learns_bias", False) else ()
        learned = ("temperature", *bias) if self.options.learn_temperature else ()
        return "loss", *(f"{name}_loss" for name in self.names), *learned

    @property
    def compared(self) -> tuple[int, int]:
        """As the model gives them."""
        return self._leader.compared

    def with_options(self, **changes: Any) -> "WeightedSum":
        """Returns the same objectives with other settings of batch, model or stream."""
        other = super().with_options(**changes)
        other.members = [one.with_options(**changes) for one in self.members]
        return other

    def make_stream(self, first_step: int = 0, share: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """Returns batches with what each of them needs."""
        features = tuple(dict.fromkeys(name for one in self.members for name in one.features))
        tower = getattr(self._leader, "text_tower", None)
        return stream.make_stream(
            self.options, features, first_step, share, tower and tower.tokenizer
        )

    def make_model(self) -> DistributedModel:
        """Returns the model that all share, with fresh weights."""
        return self._leader.make_model()

    def make_loss(self) -> losses.WeightedLosses:
        """Returns the weighted sum; the losses have the objectives' names."""
        made = [one.make_loss() for one in self.members]
        for name, loss in zip(self.names, made, strict=True):
            loss.name = name
        return losses.WeightedLosses(made, self._weights)

    def side_information(self, images: int) -> Side:
        """Returns what the losses are given of the stream's first images."""
        features = self.make_loss().features
        if features == "index":
            return np.arange(images)
        return stream.side_information(self.options, features, images)

    def describe(self) -> str:
        """Returns what each says, a line or more each."""
        return "\n".join(
            f"{name}, weight {weight:g}: {one.describe()}"
            for name, weight, one in zip(self.names, self._weights, self.members, strict=True)
        )

    def text_side(self, model: DistributedModel, log: Callable[[str], None]) -> TextSide | None:
        """Returns the text side of the model that all share."""
        return self._leader.text_side(model, log)

    def text_embedder(self, model: DistributedModel) -> evaluation.TextEmbedder | None:
        """Returns that of the model that all share."""
        return self._leader.text_embedder(model)

    def evaluation_settings(self) -> dict[str, Any]:
        """Returns those of the first one."""
        return self.members[0].evaluation_settings()


@OBJECTIVES.combine([_WEIGHTS])
def combine(entries: Sequence[Entry]) -> type[WeightedSum]:
    """Returns the objective of several.

    Its presets are those of the first one that leaves a setting open; views are as many, and the
    temperature is learned, as any of them has it.

    Raises:
        InputError: One of them compares no projections, or is there twice.
    """
    presets: dict[str, Any] = {}
    for entry in entries:
        if not issubclass(entry.make, XSample):
            raise InputError(
                f"objective: {entry.name!r} compares no projections, and cannot be added to others"
            )
    values = [values_of(entry.make) for entry in entries]
    for _, fixed in reversed(values):
        presets |= fixed
    for opened, _ in reversed(values):
        presets |= opened
    for name in ("views", "learn_temperature"):
        presets[name] = max(opened[name] for opened, _ in values if name in opened)
    names = tuple(entry.name for entry in entries)
    if len(set(names)) < len(names):
        raise InputError(f"objective: expected each one once, received {', '.join(names)}")
    return type("WeightedSum", (WeightedSum,), {"names": names, "presets": presets})


def _all_fixed(names: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """The values of the settings that all of some objectives fix."""
    fixed = [values_of(OBJECTIVES[name].make)[1] for name in names]
    shared = set(fixed[0]).intersection(*fixed[1:])
    return {name: tuple(dict.fromkeys(one[name] for one in fixed)) for name in sorted(shared)}


def _weights(text: str, names: Sequence[str]) -> list[float]:
    """The weights in a list with commas, as many as objectives."""
    try:
        weights = [float(part) for part in text.split(",")] if text else [1.0] * len(names)
    except ValueError:
        weights = []
    if len(weights) != len(names) or not all(0 < weight < float("inf") for weight in weights):
        raise InputError(
            f"objective_weights: expected {len(names)} numbers above 0, one for each of "
            f"{', '.join(names)}, received {text!r}"
        )
    return weights
