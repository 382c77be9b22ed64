"""Writes a text encoder as a SavedModel that needs TensorFlow and tensorflow-text alone.

python tools/convert_text_encoder.py --text_encoder=sentence-transformers/all-mpnet-base-v2 \
    --output=models/mpnet

The SavedModel maps captions, strings [B], to unit vectors, float32 [B, T]. It is a handle too:
prepare_data.py --text_encoder=models/mpnet.
"""

from absl import flags
from command_line import run

from xsample_tf import text
from xsample_tf.errors import InputError

_TEXT_ENCODER = flags.DEFINE_string(
    "text_encoder", None, "A sentence-transformers directory or Hugging Face id."
)
_OUTPUT = flags.DEFINE_string("output", None, "The directory to write; must not exist.")


def main() -> None:
    if not _TEXT_ENCODER.value:
        raise InputError("--text_encoder: expected a handle, received none")
    if not _OUTPUT.value:
        raise InputError("--output: expected a directory to write to, received none")
    text.convert(_TEXT_ENCODER.value, _OUTPUT.value)
    print(f"converted to {_OUTPUT.value}")


if __name__ == "__main__":
    run(main, __doc__)
