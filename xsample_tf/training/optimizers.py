"""Optimizers by name, LARS, and the learning rate's schedule."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from xsample_tf.errors import InputError, suggest

LEARNING_RATE_RULES = ("none", "linear", "sqrt")


@keras.saving.register_keras_serializable("xsample_tf")
class LARS(keras.optimizers.Optimizer):
    """Layer-wise adaptive rate scaling (You et al., arXiv 1708.03888), in SimCLR's form.

    For a weight w with gradient g, learning rate r, momentum m, decay d and trust coefficient c:

        u = g + d w
        v = m v + r (c |w| / |u|) u      (factor 1 where |w| or |u| is 0)
        w = w - v

    Biases and the scales and shifts of normalisation layers have neither decay nor adaptation:
    v = m v + r g. The velocity v is kept in float32, or in float64 for float64 weights.

    Args:
        learning_rate: Number, or a Keras schedule of the step.
        momentum: m, in [0, 1).
        weight_decay: d, added to the gradient, so that it passes through |u| and the momentum.
        trust_coefficient: c.
        name: Name of the optimizer.
        **arguments: What every Keras optimizer takes, such as `global_clipnorm`.

    Raises:
        InputError: A momentum, weight decay or trust coefficient out of range.

    Example:
        >>> optimizer = LARS(learning_rate=2.4, weight_decay=1e-6)  # SimCLR: 0.075 sqrt(1024)
    """

    def __init__(
        self,
        learning_rate: Any = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
        name: str = "lars",
        **arguments: Any,
    ):
        weight_decay = _number("weight_decay", weight_decay, at_least=0)
        super().__init__(learning_rate, weight_decay=weight_decay, name=name, **arguments)
        self.momentum = _number("momentum", momentum, at_least=0, below=1)
        self.trust_coefficient = _number("trust_coefficient", trust_coefficient, above=0)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the velocities; Keras calls it before the first step."""
        if self.built:
            return
        super().build(variables)
        self._adapted = [not is_bias_or_norm(variable) for variable in variables]
        self.velocities = [
            self.add_variable(
                variable.shape,
                dtype="float64" if variable.dtype == "float64" else "float32",
                name=f"{variable.path.replace('/', '_')}_velocity",
            )
            for variable in variables
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        index = self._get_variable_index(variable)
        velocity = self.velocities[index]
        weight = ops.cast(variable, velocity.dtype)
        update = ops.cast(ops.convert_to_tensor(gradient), velocity.dtype)
        rate = ops.cast(learning_rate, velocity.dtype)
        if self._adapted[index]:
            update = update + self.weight_decay * weight
            rate = rate * self._trust_ratio(weight, update)
        self.assign(velocity, self.momentum * velocity + rate * update)
        self.assign_sub(variable, velocity)

    def _trust_ratio(self, weight: Any, update: Any) -> Any:
        weight_norm, update_norm = (ops.sqrt(ops.sum(ops.square(x))) for x in (weight, update))
        usable = ops.logical_and(weight_norm > 0, update_norm > 0)
        # Where the quotient is not used it must not be 0 / 0 either.
        quotient = weight_norm / ops.where(usable, update_norm, ops.ones_like(update_norm))
        return ops.where(usable, self.trust_coefficient * quotient, ops.ones_like(quotient))

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        """Does nothing: Keras would shrink the weights here, and LARS decays by the gradient."""

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = {"momentum": self.momentum, "trust_coefficient": self.trust_coefficient}
        return {**super().get_config(), **config}


class _DecayOfWeightsOnly:
    """Keeps Keras's weight decay off biases and norms, also in a reloaded optimizer."""

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Excludes them and makes the slots; Keras calls it before the first step."""
        if not self.built:
            self.exclude_from_weight_decay([v for v in variables if is_bias_or_norm(v)])
        super().build(variables)


@keras.saving.register_keras_serializable("xsample_tf")
class SGD(_DecayOfWeightsOnly, keras.optimizers.SGD):
    """Keras's SGD, without weight decay on biases and norms."""


@keras.saving.register_keras_serializable("xsample_tf")
class AdamW(_DecayOfWeightsOnly, keras.optimizers.AdamW):
    """Keras's AdamW, without weight decay on biases and norms."""


OPTIMIZERS = ("lars", "sgd", "adamw")


def is_bias_or_norm(variable: keras.Variable) -> bool:
    """Whether a variable is a bias, or the scale or shift of a normalisation layer.

    Vectors and scalars are, and biases of any rank: Keras's attention has biases `[heads, size]`.
    """
    return len(variable.shape) <= 1 or variable.name == "bias"


def build(
    name: str,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    clip_norm: float = 0.0,
) -> keras.optimizers.Optimizer:
    """Builds an optimizer that leaves biases and norms out of weight decay.

    "lars" adds the decay to the gradient. "sgd" and "adamw" have Keras's decoupled decay: each step
    takes `learning_rate * weight_decay` of a weight away, apart from gradient and momentum. With
    momentum m, SGD elsewhere (decay in the gradient) is `weight_decay / (1 - m)` here.

    Args:
        name: One of `OPTIMIZERS`.
        learning_rate: Number above 0, or a schedule such as `warmup_cosine`'s.
        weight_decay: From 0.
        momentum: In [0, 1); for "adamw" the decay of the gradient's mean, its beta_1.
        clip_norm: Largest global norm of the gradient; 0: no limit. `XSampleModel` clips the sum
            over replicas.

    Raises:
        InputError: An unknown name, or a number out of range.

    Example:
        >>> optimizer = build("lars", warmup_cosine(2.4, 10_000, 1_000), weight_decay=1e-6)
    """
    if name not in OPTIMIZERS:
        raise InputError(f"optimizer: unknown name {name!r}, {suggest(str(name), OPTIMIZERS)}")
    if not isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        learning_rate = _number("learning_rate", learning_rate, above=0)
    weight_decay = _number("weight_decay", weight_decay, at_least=0)
    momentum = _number("momentum", momentum, at_least=0, below=1)
    clip_norm = _number("clip_norm", clip_norm, at_least=0)
    kind, arguments = {
        "lars": (LARS, {"momentum": momentum}),
        "sgd": (SGD, {"momentum": momentum}),
        "adamw": (AdamW, {"beta_1": momentum}),
    }[name]
    return kind(
        learning_rate, weight_decay=weight_decay, global_clipnorm=clip_norm or None, **arguments
    )


def warmup_cosine(
    peak: float, total_steps: int, warmup_steps: int = 0
) -> keras.optimizers.schedules.CosineDecay:
    """Linear warm-up from 0, then half a cosine to 0 (SimCLR, arXiv 2002.05709, section 2.3).

    Step 0 has rate 0 (with warm-up), step `warmup_steps` has `peak`, and step `total_steps`, the
    first that is not taken, has 0.

    Raises:
        InputError: A peak that is not above 0, or a warm-up that is not shorter than the run.

    Example:
        >>> schedule = warmup_cosine(1.0, total_steps=100, warmup_steps=10)
        >>> float(schedule(5)), float(schedule(10)), float(schedule(55))
        (0.5, 1.0, 0.5)
    """
    peak = _number("learning_rate", peak, above=0)
    total_steps = int(_number("total_steps", total_steps, above=0, whole=True))
    warmup_steps = int(_number("warmup_steps", warmup_steps, at_least=0, whole=True))
    if warmup_steps >= total_steps:
        raise InputError(
            f"warmup_steps: expected less than the run's {total_steps} steps, "
            f"received {warmup_steps}"
        )
    if warmup_steps == 0:  # Keras would divide by it.
        return keras.optimizers.schedules.CosineDecay(peak, total_steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, total_steps - warmup_steps, warmup_target=peak, warmup_steps=warmup_steps
    )


def effective_learning_rate(base: float, batch_size: int, rule: str = "none") -> float:
    """The learning rate for a global batch of `batch_size` images.

    "none" is `base`; "linear" is `base * batch_size / 256` (Goyal et al., arXiv 1706.02677); "sqrt"
    is `base * sqrt(batch_size)` (SimCLR, arXiv 2002.05709, appendix B.1, with 0.075 as base).

    Raises:
        InputError: An unknown rule, or a number out of range.

    Example:
        >>> effective_learning_rate(0.075, 1024, "sqrt")
        2.4
    """
    base = _number("learning_rate", base, above=0)
    batch_size = _number("batch_size", batch_size, above=0, whole=True)
    if rule not in LEARNING_RATE_RULES:
        raise InputError(
            f"learning_rate_scaling: unknown rule {rule!r}, "
            f"{suggest(str(rule), LEARNING_RATE_RULES)}"
        )
    factors = {"none": 1.0, "linear": batch_size / 256, "sqrt": math.sqrt(batch_size)}
    return base * factors[rule]


def _number(
    name: str,
    value: Any,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
    whole: bool = False,
) -> float:
    """`value` as a float, or an `InputError` that says what was expected."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if above < number < below and number >= at_least and not (whole and number % 1):
        return number
    limits = [f"above {above:g}"] if above > -math.inf else [f"from {at_least:g}"]
    limits += [f"below {below:g}"] if below < math.inf else []
    kind = "a whole number" if whole else "a number"
    raise InputError(f"{name}: expected {kind} {' and '.join(limits)}, received {value!r}")
