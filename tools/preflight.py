"""Before a long run: checks what its devices compute, and measures what limits it. Five minutes.

    python tools/preflight.py --flagfile=configs/cc3m.flags --data_dir=DIR

Takes the flags of tools/train.py and makes no run. Writes a report in JSON, to attach where you
report a problem. Exits 1 when a check has failed.
"""

import json
import pathlib
import sys

import command_line
import run_flags
import tensorflow as tf
from absl import flags

from xsample_tf.errors import InputError
from xsample_tf.training import preflight

flags.adopt_module_key_flags(run_flags)
_OUTPUT = flags.DEFINE_string("output", "preflight.json", "File for the report.")


def main() -> None:
    output = pathlib.Path(_OUTPUT.value)
    if output.is_dir() or not output.parent.is_dir():
        raise InputError(f"output: expected a file in a folder that is there, received {output}")
    tf.get_logger().setLevel("ERROR")  # It warns of the checks' many functions.
    report = preflight.inspect(run_flags.read())
    try:
        output.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"output: cannot write {output}: {error.strerror}") from None
    print(f"written: {output}")
    if not report["passed"]:
        sys.exit(1)


if __name__ == "__main__":
    command_line.run(main, __doc__)
