"""The flags of a training run, one for each of its options, for the tools that take them."""

import os
import pathlib
from collections.abc import Mapping

import command_line
import tensorflow as tf
from absl import flags

import xsample_tf
from xsample_tf.graphs import GRAPHS
from xsample_tf.training.options import CHOSEN, settings
from xsample_tf.training.settings import preset_values

_DEFINE = {
    bool: flags.DEFINE_bool,
    bool | None: flags.DEFINE_bool,
    float: flags.DEFINE_float,
    float | None: flags.DEFINE_float,
    int: flags.DEFINE_integer,
    int | None: flags.DEFINE_integer,
    str: flags.DEFINE_string,
    str | float: flags.DEFINE_string,
    tuple[str, ...]: flags.DEFINE_list,
}
# `--import` is every tool's.
_FIELDS = [field for field in settings() if field.name != "imports"]
for _field in _FIELDS:
    _choices = _field.metadata["choices"]
    _DEFINE[_field.type](
        _field.name,
        list(_field.default) if isinstance(_field.default, tuple) else _field.default,
        # What is registered is listed once the user's modules are imported.
        _field.metadata["help"] + command_line.one_of(_choices if type(_choices) is tuple else ()),
        module_name=_field.metadata["group"],
    )
command_line.choose_from(*CHOSEN)


def read(**defaults: str) -> xsample_tf.training.Options:
    """The options that the flags give; prints those that are not at their default.

    Args:
        **defaults: Values for options that are empty.

    Raises:
        InputError: A value that cannot be used, or data that is not there where a flagfile says how
            it is prepared.
    """
    return _read(_given_own(), defaults)


def read_with_other_graph(graph: str) -> tuple[xsample_tf.training.Options, dict[str, object]]:
    """The options that the flags give, and the values of another graph's own options.

    What the other graph alone declares is none of the run's options.

    Args:
        graph: Name of the other graph, "" for none.

    Raises:
        InputError: As for `read`, or there is no such graph.
    """
    given = _given_own()
    if not graph:
        return _read(given, {}), {}
    others = {option.name for option in GRAPHS[graph].options}
    run = flags.FLAGS["graph"].value or preset_values(flags.FLAGS["objective"].value)["graph"]
    left = others - {option.name for option in GRAPHS[run].options}
    own = {name: value for name, value in given.items() if name not in left}
    return _read(own, {}), {name: value for name, value in given.items() if name in others}


def _given_own() -> dict[str, object]:
    """Returns the values of options that entries declare, where they are given."""
    values = command_line.entry_values(*CHOSEN)
    return {name: value for name, value in values.items() if command_line.origin(name)}


def _read(own: Mapping[str, object], defaults: Mapping[str, str]) -> xsample_tf.training.Options:
    values = {field.name: flags.FLAGS[field.name].value for field in _FIELDS}
    values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    values["run_dir"] = _own_directory("run_dir") or values["run_dir"]
    values |= {name: default for name, default in defaults.items() if not values[name]}
    # A length on the command line replaces the flagfile's, whichever way that one is given.
    origins = {name: origin for name, _, origin in command_line.settings()}
    for one, other in (("epochs", "steps"), ("steps", "epochs")):
        if origins.get(one) == command_line.LINE != origins.get(other):
            values[other] = None
    _check_presets(values)
    options = xsample_tf.training.Options(**values, own=own, imports=command_line.imported())
    for name, value, origin in command_line.settings():
        print(f"  --{name}={_text(value)}  ({origin})")
    _check_data(options)
    return options


def _own_directory(name: str) -> str:
    """The directory of the run whose own flagfile gave a flag: it may have been moved or copied."""
    file, colon, _ = (command_line.origin(name) or "").rpartition(":")
    path = pathlib.Path(file)
    own = colon and path.name == "run.flags" and (path.parent / "options.json").is_file()
    return str(path.parent) if own else ""


def _check_presets(values: Mapping[str, object]) -> None:
    """Refuses a flag that is given at its default, where the objective has another value.

    A default that is None or '' stands for the objective's own, so that all others can be given.
    """
    defaults = {field.name: field.default for field in _FIELDS}
    for name, preset in preset_values(values["objective"]).items():
        at_default = values[name] == defaults.get(name) not in (None, "")
        if at_default and command_line.origin(name) and values[name] != preset:
            raise xsample_tf.InputError(
                f"{name}: objective {values['objective']!r} has {preset!r}, received "
                f"{values[name]!r} ({command_line.origin(name)}); leave --{name} out"
            )


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
