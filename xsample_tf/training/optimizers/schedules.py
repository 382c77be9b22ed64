"""Learning-rate schedules, and scaling by batch size."""

import math

import keras

from xsample_tf.errors import InputError, suggest
from xsample_tf.training.optimizers.numbers import checked_number

LEARNING_RATE_RULES = ("none", "linear", "sqrt")


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
    peak = checked_number("learning_rate", peak, above=0)
    total_steps = int(checked_number("total_steps", total_steps, above=0, whole=True))
    warmup_steps = int(checked_number("warmup_steps", warmup_steps, at_least=0, whole=True))
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
    base = checked_number("learning_rate", base, above=0)
    batch_size = checked_number("batch_size", batch_size, above=0, whole=True)
    if rule not in LEARNING_RATE_RULES:
        raise InputError(
            f"learning_rate_scaling: unknown rule {rule!r}, "
            f"{suggest(str(rule), LEARNING_RATE_RULES)}"
        )
    factors = {"none": 1.0, "linear": batch_size / 256, "sqrt": math.sqrt(batch_size)}
    return base * factors[rule]
