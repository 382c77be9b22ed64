"""How a setting of a run is declared and checked."""

import dataclasses
from typing import Any

from xsample_tf.errors import InputError, suggest
from xsample_tf.registry import Registry, check_bounds

# The objectives that a run can choose by name; `objectives.Objective` is their base class.
OBJECTIVES = Registry("objective", "xsample_tf.training.objectives")
# What embeds texts; `text_towers.TextTower` is their base class.
TEXT_TOWERS = Registry("text_tower", "xsample_tf.training.text_towers")
# What settings are about, in the order of `--help`.
GROUPS = ("data", "views", "objective", "model", "optimization", "run")


def setting(
    group: str,
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | Registry = (),
    changes_result: bool = True,
) -> Any:
    """Declares a setting, a field of `Options`.

    Args:
        group: One of `GROUPS`.
        default: Value where none is given. None is accepted whatever the bounds, '' whatever the
            choices: the objective's own, as `preset_values` gives it.
        help: What the setting does, for `--help`.
        minimum: Smallest value that is accepted.
        above: Largest value that is too small.
        maximum: Largest value that is accepted.
        choices: Values that are accepted, or the registry whose names are; empty accepts all.
        changes_result: Whether another value makes another result. A run cannot be continued with
            another value then, unless `allow_changed` names it.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "group": group,
            "help": help,
            "bounds": {"minimum": minimum, "above": above, "maximum": maximum},
            "choices": choices,
            "changes_result": changes_result,
        },
    )


def check_value(field: dataclasses.Field, value: Any) -> None:
    """Raises `InputError` where a value is not one of the choices, or out of bounds."""
    choices = field.metadata["choices"]
    if isinstance(choices, Registry):
        if value:
            choices[value]  # Raises where there is none of that name.
    elif choices and value not in (*choices, field.default):
        raise InputError(f"{field.name}: received {value!r}, {suggest(str(value), choices)}")
    if value is not None:
        check_bounds(field.name, value, **field.metadata["bounds"])


def choices_of(field: dataclasses.Field) -> tuple[str, ...]:
    """Returns the values that a setting accepts by name, those registered so far among them."""
    choices = field.metadata["choices"]
    return choices.names() if isinstance(choices, Registry) else choices


def preset_values(objective: str) -> dict[str, Any]:
    """Returns what an objective has settings at that are not given, by name."""
    presets, fixed = values_of(OBJECTIVES[objective].make)
    return presets | fixed


def values_of(objective: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns `presets` and `fixed` of an objective, with those of what it derives from."""
    presets: dict[str, Any] = {}
    fixed: dict[str, Any] = {}
    for kind in reversed(objective.__mro__):
        for values, others, name in ((presets, fixed, "presets"), (fixed, presets, "fixed")):
            own = vars(kind).get(name, {})
            values |= own
            for one in own:
                others.pop(one, None)
    return presets, fixed
