"""The flags of a training run, one for each of its options, for the tools that take them."""

import dataclasses
import os

import command_line
import tensorflow as tf
from absl import flags

import xsample_tf

_DEFINE = {
    bool: flags.DEFINE_bool,
    float: flags.DEFINE_float,
    int: flags.DEFINE_integer,
    int | None: flags.DEFINE_integer,
    str: flags.DEFINE_string,
    str | float: flags.DEFINE_string,
    tuple[str, ...]: flags.DEFINE_list,
}
_FIELDS = dataclasses.fields(xsample_tf.training.Options)
for _field in _FIELDS:
    _DEFINE[_field.type](_field.name, _field.default, _field.metadata["help"])


def read(**defaults: str) -> xsample_tf.training.Options:
    """The options that the flags give; prints those that are not at their default.

    Args:
        **defaults: Values for options that are empty.

    Raises:
        InputError: A value that cannot be used, or data that is not there where a flagfile says how
            it is prepared.
    """
    values = {field.name: flags.FLAGS[field.name].value for field in _FIELDS}
    values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    values |= {name: default for name, default in defaults.items() if not values[name]}
    # A length on the command line replaces the flagfile's, whichever way that one is given.
    origins = {name: origin for name, _, origin in command_line.settings()}
    for one, other in (("epochs", "steps"), ("steps", "epochs")):
        if origins.get(one) == command_line.LINE != origins.get(other):
            values[other] = None
    options = xsample_tf.training.Options(**values)
    for name, value, origin in command_line.settings():
        print(f"  --{name}={_text(value)}  ({origin})")
    _check_data(options)
    return options


def _check_data(options: xsample_tf.training.Options) -> None:
    """Names the flagfile's own command where the data is not there and nothing else makes it."""
    command = command_line.header_command("prepare_data.py")
    for directory in options.data_dir[bool(options.source) :]:
        if command and not tf.io.gfile.exists(os.path.join(directory, "dataset.json")):
            raise xsample_tf.InputError(
                f"data_dir: no dataset.json in {directory}; prepare it by: {command}"
            )


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
