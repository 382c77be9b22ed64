"""Exports the encoder of a run, finished or not, as a SavedModel that needs TensorFlow alone.

python tools/export.py --run_dir=runs/first --output=exports/first
python tools/export.py --run_dir=runs/first --checkpoint=CHECKPOINT --output=exports/early
"""

import command_line
from absl import flags

from xsample_tf import training
from xsample_tf.errors import InputError

_RUN_DIR = flags.DEFINE_string("run_dir", None, "The directory of a run.")
_OUTPUT = flags.DEFINE_string("output", None, "Directory to write: new, or an export to replace.")
_CAPTION_MAP = flags.DEFINE_bool(
    "caption_map",
    False,
    "Fit the map from images to captions too, for tools/search.py; reads all images of the data.",
)
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Which checkpoint; by default the newest.")


def main() -> None:
    if not _RUN_DIR.value:
        raise InputError("--run_dir: expected the directory of a run, received none")
    if not _OUTPUT.value:
        raise InputError("--output: expected a directory to write to, received none")
    print(f"exporting the encoder of {_RUN_DIR.value} to {_OUTPUT.value}", flush=True)
    done = training.export_run(
        _RUN_DIR.value, _OUTPUT.value, _CHECKPOINT.value, caption_map=_CAPTION_MAP.value
    )
    print(f"exported {done['checkpoint']}, step {done['step']}, to {_OUTPUT.value}")


if __name__ == "__main__":
    command_line.run(main, __doc__)
