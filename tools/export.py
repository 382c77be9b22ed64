"""Exports the encoder of a run, finished or not, as a SavedModel that needs TensorFlow alone.

python tools/export.py --run_dir=runs/first --output=exports/first
python tools/export.py --run_dir=runs/first --checkpoint=CHECKPOINT --output=exports/early
"""

import command_line
from absl import flags

from xsample_tf import training
from xsample_tf.errors import InputError
from xsample_tf.export import export

_RUN_DIR = flags.DEFINE_string("run_dir", None, "The directory of a run.")
_OUTPUT = flags.DEFINE_string("output", None, "Directory to write: new, or an export to replace.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Which checkpoint; by default the newest.")


def main() -> None:
    if not _RUN_DIR.value:
        raise InputError("--run_dir: expected the directory of a run, received none")
    if not _OUTPUT.value:
        raise InputError("--output: expected a directory to write to, received none")
    print(f"exporting the encoder of {_RUN_DIR.value} to {_OUTPUT.value}", flush=True)
    encoder, options = training.load_encoder(_RUN_DIR.value, _CHECKPOINT.value)
    card = {"run": _RUN_DIR.value}
    card |= {name: options.pop(name) for name in ("checkpoint", "step")}
    export(encoder, _OUTPUT.value, options["image_size"], card | {"settings": options})
    print(f"exported {card['checkpoint']}, step {card['step']}, to {_OUTPUT.value}")


if __name__ == "__main__":
    command_line.run(main, __doc__)
