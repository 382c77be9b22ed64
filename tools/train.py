"""Trains an encoder by X-Sample contrastive learning, evaluates it and exports it.

    python tools/train.py --flagfile=configs/quickstart.flags
    python tools/train.py --flagfile=configs/cc3m.flags --data_dir=DIR --run_dir=DIR

The same command on a run's directory continues the run.
"""

import datetime
import pathlib

import command_line
import run_flags

from xsample_tf import training


def main() -> None:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    run_dir = str(pathlib.Path("runs", f"{command_line.config_name()}-{stamp}"))
    options = run_flags.read(run_dir=run_dir)
    print(f"run: {options.run_dir}")
    try:
        training.train(options)
    except training.Interrupted as stopped:
        print(stopped)


if __name__ == "__main__":
    command_line.run(main, __doc__)
