"""Checks numbers that a user gives."""

import math
from typing import Any

from xsample_tf.errors import InputError


def checked_number(
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
