"""Trains an encoder by X-Sample contrastive learning, evaluates it and exports it.

    python tools/train.py --flagfile=configs/quickstart.flags
    python tools/train.py --flagfile=configs/cc3m.flags --data_dir=DIR --run_dir=DIR

The same command on a run's directory continues the run.
"""

import dataclasses
import datetime
import pathlib

import command_line
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


def main() -> None:
    values = {field.name: flags.FLAGS[field.name].value for field in _FIELDS}
    values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    if not values["run_dir"]:
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        values["run_dir"] = str(pathlib.Path("runs", f"{command_line.config_name()}-{stamp}"))
    # A length on the command line replaces the flagfile's, whichever way that one is given.
    origins = {name: origin for name, _, origin in command_line.settings()}
    for one, other in (("epochs", "steps"), ("steps", "epochs")):
        if origins.get(one) == command_line.LINE != origins.get(other):
            values[other] = None
    options = xsample_tf.training.Options(**values)
    for name, value, origin in command_line.settings():
        print(f"  --{name}={_text(value)}  ({origin})")
    print(f"run: {options.run_dir}")
    try:
        xsample_tf.training.train(options)
    except xsample_tf.training.Interrupted as stopped:
        print(stopped)
    except xsample_tf.InputError as error:
        command = command_line.header_command("prepare_data.py")
        missing = [d for d in options.data_dir if not pathlib.Path(d, "dataset.json").exists()]
        if command and missing:
            raise xsample_tf.InputError(f"{error}; prepare it by: {command}") from None
        raise


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    command_line.run(main, __doc__)
