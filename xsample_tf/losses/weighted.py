"""A weighted sum of losses over the same embeddings."""

import inspect
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.losses.base import (
    ContrastiveLoss,
    needed_features,
    shown_statistics,
    takes_several,
    with_derived,
)


@keras.saving.register_keras_serializable("xsample_tf")
class WeightedLosses(ContrastiveLoss):
    """Weighted sum of losses over the embeddings of one forward pass.

    `y_pred` is `[B, V, D]`, or `[B, V + 1, D]` with the text last where a member has two sides:
    the members with one side are then given the image's views alone. Each member gets what it needs
    of the side information. Beside its statistics each member's own loss is shown, as `NAME_loss`.
    A statistic that several members have is prefixed by their names, as `NAME_target_entropy`.

    A learned temperature, or bias, goes to the members with two sides that take one, if there are
    any with two sides, and else to all that do; the others keep their own.

    Args:
        losses: The members, with names of their own.
        weights: One number from 0 for each. Defaults to None, 1 for each.
        reduction: As for `XSampleContrastiveLoss`.
        name: As in Keras.
        dtype: As for `XSampleContrastiveLoss`.

    Raises:
        InputError: No losses, something else than a `ContrastiveLoss`, names that are not distinct,
            or weights that do not fit.

    Example:
        >>> loss = WeightedLosses([XSampleContrastiveLoss(), ImageTextContrastiveLoss()], [1, 0.5])
        >>> captions, embeddings = tf.random.normal([8, 384]), tf.random.normal([8, 3, 128])
        >>> loss(captions, embeddings).shape  # Of two views, and of the texts.
        TensorShape([])
    """

    def __init__(
        self,
        losses: Sequence[ContrastiveLoss],
        weights: Sequence[float] | None = None,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
    ):
        super().__init__(reduction, name or "weighted_losses", dtype)
        self.losses = list(losses)
        self.weights = [1.0] * len(self.losses) if weights is None else list(weights)
        self._check()
        self.sides = max(loss.sides for loss in self.losses)

    def _check(self) -> None:
        if not self.losses or not all(isinstance(loss, ContrastiveLoss) for loss in self.losses):
            raise InputError(
                "losses: expected a list of losses, as [XSampleContrastiveLoss(), "
                f"ImageTextContrastiveLoss()], received {self.losses!r}"
            )
        names = [loss.name for loss in self.losses]
        if len(set(names)) < len(names):
            raise InputError(
                f"losses: expected names of their own, received {', '.join(names)}; give name=..."
            )
        usable = all(isinstance(w, numbers.Real) and 0 <= w < math.inf for w in self.weights)
        if len(self.weights) != len(names) or not usable or not any(self.weights):
            raise InputError(
                f"weights: expected {len(names)} numbers from 0, not all 0, received "
                f"{self.weights!r}"
            )

    @property
    def features(self) -> str | tuple[str, ...]:
        """What any of the members needs."""
        names = dict.fromkeys(name for loss in self.losses for name in needed_features(loss))
        return tuple(names) if len(names) > 1 else next(iter(names), "index")

    @property
    def statistics(self) -> tuple[str, ...]:
        """The names under which `rows` returns the members' statistics."""
        return tuple(
            self._shown_as(loss, name)
            for loss in self.losses
            for name in ("loss", *shown_statistics(loss))
        )

    def _shown_as(self, loss: ContrastiveLoss, statistic: str) -> str:
        owners = sum(statistic in shown_statistics(one) for one in self.losses)
        return f"{loss.name}_{statistic}" if owners > 1 or statistic == "loss" else statistic

    @property
    def temperature(self) -> float:
        """That of the members that a learned one would go to.

        Raises:
            AttributeError: No member takes one.
            InputError: Theirs differ.
        """
        return self._start("temperature")

    @property
    def bias(self) -> float:
        """As `temperature`."""
        return self._start("bias")

    def _start(self, name: str) -> float:
        values = {getattr(loss, name) for loss in self.losses if name in self._learned_by(loss)}
        if not values:
            raise AttributeError(f"{type(self).__name__}: no member takes a {name}")
        if len(values) > 1:
            raise InputError(
                f"{name}: expected one for all losses that are to learn it, received "
                f"{', '.join(f'{value:g}' for value in sorted(values))}"
            )
        return values.pop()

    def _learned_by(self, loss: ContrastiveLoss) -> set[str]:
        """What a member is given of a learned temperature and bias."""
        if loss.sides < self.sides:
            return set()
        return {"temperature", "bias"} & inspect.signature(loss.rows).parameters.keys()

    def rows(
        self,
        side: Any,
        embeddings: tf.Tensor,
        temperature: tf.Tensor | None = None,
        bias: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The weighted sum of the members' rows `[B]`, and their statistics `[B]`.

        Args:
            side: What `features` says.
            embeddings: `[B, V, D]`, with two sides `[B, V + 1, D]`.
            temperature: A scalar tensor, which receives its gradient. Defaults to None, the
                members' own.
            bias: Likewise.
        """
        names, learned = needed_features(self), {"temperature": temperature, "bias": bias}
        given = side if takes_several(self) else dict.fromkeys(names, side)
        total, statistics = [], {}
        for loss, weight in zip(self.losses, self.weights, strict=True):
            views = embeddings[:, :-1] if loss.sides < self.sides else embeddings
            arguments = {name: learned[name] for name in self._learned_by(loss)}
            rows, own = loss.rows(_chosen(given, loss), views, **arguments)
            total.append(weight * rows)
            own = with_derived(rows, own) | {"loss": rows}
            statistics |= {
                self._shown_as(loss, name): tf.stop_gradient(value) for name, value in own.items()
            }
        return tf.add_n(total), statistics

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        losses = [keras.saving.serialize_keras_object(loss) for loss in self.losses]
        return {**super().get_config(), "losses": losses, "weights": self.weights}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "WeightedLosses":
        """Builds the loss from `get_config`'s result."""
        losses = [keras.saving.deserialize_keras_object(loss) for loss in config["losses"]]
        return cls(**{**config, "losses": losses})


def _chosen(given: Mapping[str, Any] | None, loss: ContrastiveLoss) -> Any:
    """What one member needs of the side information."""
    names = needed_features(loss)
    if takes_several(loss):
        return {name: given[name] for name in names}
    return given[names[0]] if names else None
