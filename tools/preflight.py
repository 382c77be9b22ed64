"""Before a long run: checks what its devices compute, and measures what limits it. Five minutes.

    python tools/preflight.py --flagfile=configs/cc3m.flags --data_dir=DIR

Takes the flags of tools/train.py and makes no run. Writes a report in JSON into --run_dir, else
into runs/, to attach where you report a problem. Exits 1 when a check has failed.
"""

import json
import pathlib
import sys

import command_line
import run_flags
import tensorflow as tf
from absl import flags

from xsample_tf.errors import InputError
from xsample_tf.files import write_text
from xsample_tf.training import preflight

_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "File for the report; by default preflight.json in --run_dir, or where that is not given "
    "runs/CONFIG-preflight.json.",
)


def main() -> None:
    options = run_flags.read()
    output = _output(options.run_dir)
    tf.get_logger().setLevel("ERROR")  # It warns of the checks' many functions.
    report = preflight.inspect(options)
    write_text(output, json.dumps(report, indent=1, allow_nan=False) + "\n")
    print(f"written: {output}")
    if not report["passed"]:
        sys.exit(1)


def _output(run_dir: str) -> pathlib.Path:
    """Returns where the report goes, a file that can be written; makes folders as it needs."""
    if _OUTPUT.value:
        output = pathlib.Path(_OUTPUT.value)
    elif run_dir:
        output = pathlib.Path(run_dir, "preflight.json")
    else:
        output = pathlib.Path("runs", f"{command_line.config_name()}-preflight.json")
    if output.is_dir():
        raise InputError(f"output: expected a file for the report, received the folder {output}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"output: cannot write {output}: {error.strerror}") from None
    return output


if __name__ == "__main__":
    command_line.run(main, __doc__)
