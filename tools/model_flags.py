"""The flags that say which encoder, and how it is called, for the tools that take anyone's."""

from absl import flags

from xsample_tf.errors import InputError
from xsample_tf.export import Exported, load

MODEL = flags.DEFINE_string(
    "model", None, "A run directory, an export, a SavedModel from images to vectors, or a .keras."
)
SIGNATURE = flags.DEFINE_string(
    "signature", None, "Which of the model's signatures; by default serving_default, or the only."
)
INPUT = flags.DEFINE_string(
    "input", None, "Which of the model's inputs takes images; by default the only one that can."
)
OUTPUT_NAME = flags.DEFINE_string(
    "output_name",
    None,
    "Which of the model's outputs; by default the only vectors, else features, else embedding.",
)
INPUT_RANGE = flags.DEFINE_list(
    "input_range",
    None,
    "Lowest and highest pixel that the model takes, as -1,1; by default 0,255 for integers, and "
    "for a .keras that divides them itself, else 0,1.",
)


def check() -> None:
    """Raises `InputError` where no model is named."""
    if not MODEL.value:
        raise InputError("--model: expected a directory, received none")


def chosen_parts() -> list[str]:
    """Returns the flags given that choose of a SavedModel or `.keras`."""
    parts = SIGNATURE, INPUT, OUTPUT_NAME, INPUT_RANGE
    return [flag.name for flag in parts if flag.value is not None]


def open_model() -> Exported:
    """Opens the model, and prints what of it is called.

    Raises:
        InputError: None there, or it is not plain what to call.
    """
    encoder = load(MODEL.value, SIGNATURE.value, INPUT.value, OUTPUT_NAME.value, INPUT_RANGE.value)
    print(f"model: {encoder.model}")
    return encoder
